/** `tetherfs takeover`: this version goes on with a mount that another daemon serves. */
import { Command } from 'commander';
import { startInBackground } from '../mount/background.ts';
import { controlOf } from '../mount/control-path.ts';
import { canonicalPath } from '../mount/mount-table.ts';
import { interruption } from './interruption.ts';

export function takeoverCommand(): Command {
  return new Command('takeover')
    .description('replace the daemon of a mount by this version of tetherfs, under its readers')
    .argument('<mountpoint>')
    .option('--control <socket>', 'ask the daemon at this control socket')
    .addHelpText(
      'after',
      `
The new daemon makes ready while the old one serves; then everything changes hands at once: the connection to the kernel, the cache,
the image in RAM, what is known of the members, the trace. Readers see a pause, no error. When anything fails before that, the old
daemon serves on. Options stay as they were when it was mounted.

Before Linux 6.9 reads that wait for members are answered first: in an outage a takeover is refused then.

Examples:
  /opt/tetherfs-new/bin/tetherfs takeover /mnt/remoteimg

Exit status: 0 taken over, 1 not: the old daemon serves on.`,
    )
    .action(async (mountpoint: string, flags: { control?: string }) => {
      const control = controlOf(mountpoint, flags.control);
      await startInBackground({
        script: process.argv[1] ?? '',
        arguments: ['daemon', canonicalPath(mountpoint), '--take-over', control],
        options: undefined,
        // The predecessor's holder looks after it.
        held: false,
        signal: interruption(),
        onLog: (line) => process.stderr.write(`${line}\n`),
        onProgress: () => {},
      });
    });
}
