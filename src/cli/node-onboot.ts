/** `tetherfs node onboot` and `node members`: what tetherfs-node.service has a node do once it has booted, and every hour. */
import { Command } from 'commander';
import { TetherfsError } from '../base/errors.ts';
import { interruption } from './interruption.ts';

export function nodeOnbootCommand(): Command {
  return new Command('onboot')
    .description('after the boot, in its own root: called by tetherfs-node.service')
    .addHelpText(
      'after',
      `
In this order: the certificate of the ssh host key, where the boot has got none; new members of the image; the profile's syncfiles; programs in /etc/tetherfs/node.d; the profile's scripts onboot.custom and onboot.d; its playbooks
of ansible/onboot.d; then the members are told that the node has booted, and at last what it has read for that. Of a node that has booted without members' API: /etc/tetherfs/node.d alone. docs/node.md tells more of each.

Exit status: 0 all done, 1 a step has failed (the others are done, and the members are told), or this machine has not booted by tetherfs node boot.`,
    )
    .action(async () => {
      const { onboot } = await import('../node/onboot.ts');
      const say = (line: string) => void process.stderr.write(`tetherfs: ${line}\n`);
      const print = (text: string) => void process.stdout.write(text);
      await onboot({ console: { say }, print, signal: interruption() });
    });
}

export function nodeMembersCommand(): Command {
  return new Command('members')
    .description('have the image come from members that the site has got since the boot, too')
    .addHelpText(
      'after',
      `
Asks the node's members who they all are now, and adds those that are new to the mount; it takes none away. tetherfs-members.timer does this every hour. On a node whose image was unpacked, or whose members stood on its kernel command line, it says so, and
does nothing.

Exit status: 0 done, 1 no member answers, or this machine has not booted by tetherfs node boot.`,
    )
    .action(async () => {
      const { addNewMembers, whyNoNewMembers } = await import('../node/onboot/image-members.ts');
      const { RunningNode } = await import('../node/onboot/running-node.ts');
      const { readBootRecord } = await import('../node/records.ts');
      const signal = interruption();
      const boot = readBootRecord();
      const why = whyNoNewMembers(boot);
      if (why !== undefined) {
        // No failure: the timer is in every image.
        process.stderr.write(`tetherfs: nothing to do: ${why}\n`);
        return;
      }
      const node = RunningNode.read(boot, signal);
      if (node === undefined)
        throw new TetherfsError('NO_NODE_BOOT', 'what its boot has left in /etc/confluent is not there any more');
      for (const url of await addNewMembers(node, signal)) process.stdout.write(`added ${url}\n`);
    });
}
