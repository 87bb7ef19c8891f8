/** `tetherfs status`. */
import { Command, Option } from 'commander';
import { describeError, TetherfsError } from '../base/errors.ts';
import { readStatus } from '../mount/control-client.ts';
import { allControls, controlOf } from '../mount/control-path.ts';
import { renderStatus } from '../mount/status-text.ts';

export function statusCommand(): Command {
  return new Command('status')
    .description('show members, cache and waiting reads of a mount; never touches the mount itself')
    .argument('[mountpoint]', 'which mount; all of them when left out')
    .option('--control <socket>', 'ask the daemon at this control socket')
    .option('--json', 'print JSON: sizes in bytes, times in ms, rates in bytes a second', false)
    .addOption(new Option('--wide', 'everything, in lines of any length').default(false).conflicts('json'))
    .addHelpText(
      'after',
      `
Examples:
  tetherfs status
  tetherfs status --wide /mnt/remoteimg
  tetherfs status --json /mnt/remoteimg | jq '.members[] | {url, state}'

Exit status: 0 all asked daemons answered, 1 one did not or there is none.`,
    )
    .action(async (mountpoint: string | undefined, flags: { control?: string; json: boolean; wide: boolean }) => {
      const named =
        mountpoint === undefined && flags.control === undefined
          ? undefined
          : controlOf(mountpoint ?? '', flags.control);
      const paths = named === undefined ? allControls() : [named];
      if (paths.length === 0) {
        const whose = process.geteuid?.() === 0 ? '' : ' by this user; those of root are for root';
        throw new TetherfsError('NO_DAEMON', `no tetherfs mount on this machine${whose}`);
      }
      for (const path of paths) {
        try {
          const status = await readStatus(path);
          process.stdout.write(flags.json ? `${JSON.stringify(status)}\n` : renderStatus(status, flags));
        } catch (error) {
          // A daemon that died must not keep the others from being seen.
          if (paths.length === 1) throw error;
          process.stderr.write(`tetherfs: ${describeError(error)}\n`);
          process.exitCode = 1;
        }
      }
    });
}
