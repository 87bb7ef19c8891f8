/**
 * A daemon's life in a process: started, ended by signals, its exit status. Used by both `mount --foreground` and the daemon in the
 * background.
 */
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { startDaemon } from './daemon.ts';
import type { MountOptions } from './options.ts';

/**
 * Runs until the mount is gone. The first SIGTERM or SIGINT unmounts (lazily when the mount is in use), the second aborts the
 * mount under its users. @returns the exit status: 0 after an unmount. @throws TetherfsError when it cannot be mounted.
 */
export async function runDaemon(
  options: MountOptions,
  version: string,
  log: Log,
  onReady: () => void | Promise<void>,
): Promise<number> {
  // A defect on one read's path must not take the machine's root away: it is reported, and the daemon lives on.
  process.on('uncaughtException', (error) => log.error('defect', { error: error.stack ?? describeError(error) }));
  process.on('SIGHUP', () => {});
  const daemon = await startDaemon(options, version, log);
  let signals = 0;
  const onSignal = () => {
    if (signals++ > 0) daemon.abort();
    else daemon.stop().catch((error: unknown) => log.error('cannot unmount', { error: describeError(error) }));
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  await onReady();
  log.info('ready', { mountpoint: options.mountpoint });
  return (await daemon.ended) === 0 ? 0 : 1;
}
