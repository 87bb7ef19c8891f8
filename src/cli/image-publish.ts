/** `tetherfs image publish`: a profile to the other members. */
import { Command } from 'commander';
import { describeError, TetherfsError, UsageError } from '../base/errors.ts';
import { runProgram } from '../base/program.ts';
import { loadBinding } from '../native/binding.ts';
import { interruption } from './interruption.ts';
import { progressBar } from './progress-bar.ts';

interface PublishFlags {
  to?: string[];
  privateDir?: string;
  tree?: string;
  sshConfig?: string;
}

export function imagePublishCommand(): Command {
  return new Command('publish')
    .description('copy a profile, with its keys, to other members')
    .argument('<profile>', 'public directory of the profile, or its name in the tree')
    .option('--to <member...>', '[USER@]HOST[:TREE] of each member; TREE is /var/lib/confluent unless said otherwise')
    .option('--private-dir <dir>', "the one that was given to 'image pack', if any")
    .option('--tree <dir>', 'the tree here (default: /var/lib/confluent)')
    .option('--ssh-config <file>', "ssh's configuration (its -F)")
    .addHelpText(
      'after',
      `
The image is verified here first. It goes by rsync over ssh, beside what is there; when all of it has been compared on both sides, it takes its place there by
renames: nodes that boot meanwhile get the old image or the new one. Older images there stay (image gc). Public files are readable for all, private
ones for their owner alone, who is that of TREE/public and TREE/private there. What has arrived already is not sent again.

Each member by itself, one line each. Exit status: 0 all have it, 1 some have not: they are as they were; 2 wrong usage.

Examples:
  tetherfs image publish demo --to root@10.0.0.2 root@10.0.0.3
  tetherfs image publish /srv/os/demo --to m2:/srv/confluent`,
    )
    .action(async (profile: string, flags: PublishFlags) => {
      const { profileToPublish, publishTo } = await import('../imgutil/publish-profile.ts');
      const { parseRemoteMember, visit } = await import('../imgutil/remote-member.ts');
      if (flags.to === undefined) throw new UsageError('name the members: --to [USER@]HOST …');
      const members = flags.to.map((given) => ({ given, ...parseRemoteMember(given) }));
      const checking = progressBar('checking');
      const found = await profileToPublish(profile, {
        ...flags,
        xts: (...call) => loadBinding().xts(...call),
        onProgress: (bytes, totalBytes) => checking.update({ bytes, totalBytes }),
      }).finally(checking.clear);
      const signal = interruption();
      let failures = 0;
      for (const member of members) {
        const bar = progressBar(`copying to ${member.given}`);
        try {
          await visit(member, { sshConfig: flags.sshConfig, run: runProgram, signal }, (there) =>
            publishTo(found, member, there, (text) => showProgress(text, bar.update)),
          ).finally(bar.clear);
          process.stdout.write(`${member.given}: has ${found.name}, ${found.digest}\n`);
        } catch (error) {
          if (!(error instanceof TetherfsError)) throw error;
          failures++;
          process.stderr.write(`tetherfs: ${member.given}: ${describeError(error)}\n`);
        }
        if (signal.aborted)
          throw new TetherfsError('INTERRUPTED', 'interrupted: members after this one have not been asked');
      }
      if (failures > 0)
        throw new TetherfsError('PUBLISH', `${failures} of ${members.length} members have not got ${found.name}`);
    });
}

/** rsync(1), --info=progress2: `  1,234,567  45%  …`. */
function showProgress(text: string, update: (progress: { bytes: number; totalBytes: number }) => void): void {
  const [, bytes = '', percent = ''] = /([\d,.]+)\s+(\d+)%[^%]*$/.exec(text) ?? [];
  const done = Number(bytes.replace(/\D/g, ''));
  if (Number(percent) > 0) update({ bytes: done, totalBytes: Math.round((done * 100) / Number(percent)) });
}
