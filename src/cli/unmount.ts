/** `tetherfs unmount`. */
import { Command } from 'commander';
import { unmount } from '../mount/unmount.ts';

export function unmountCommand(): Command {
  return new Command('unmount')
    .alias('umount')
    .description('unmount and wait until the daemon is gone')
    .argument('<mountpoint>')
    .option('--lazy', 'detach now; the daemon ends when the last user of the file has gone', false)
    .addHelpText(
      'after',
      `
Examples:
  tetherfs unmount /mnt/remoteimg

Exit status: 0 unmounted, 1 in use or not mounted.`,
    )
    .action(async (mountpoint: string, flags: { lazy: boolean }) => {
      await unmount(mountpoint, flags.lazy ? 'lazy' : 'normal');
    });
}
