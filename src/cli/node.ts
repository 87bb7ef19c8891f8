/** `tetherfs node`: what a diskless node does by itself. */
import { Command } from 'commander';
import { interruption } from './interruption.ts';

export function nodeCommand(): Command {
  return new Command('node').description('boot this machine from its image').addCommand(
    new Command('boot')
      .description('make the root file system of a diskless node: called by its initramfs')
      .argument('<root>', 'directory to mount it on, e.g. /sysroot')
      .addHelpText(
        'after',
        `
What to boot from is said on the kernel command line (tetherfs.members=URL,URL tetherfs.digest=sha256:HEX …), or by /etc/tetherfs/boot.yaml in the
initramfs. Tries again, for ever, what a second try may mend; ends with 1 when it cannot be, with 2 when a setting makes no sense.`,
      )
      .action(async (root: string) => {
        const { boot, settingsOfMachine } = await import('../node/boot.ts');
        const say = (line: string) => void process.stderr.write(`tetherfs: ${line}\n`);
        await boot({ settings: settingsOfMachine(), root, console: { say }, signal: interruption() });
      }),
  );
}
