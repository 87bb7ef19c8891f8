/**
 * A daemon's life in a process: started, ended by signals, its exit status. Used by both `mount --foreground` and the daemon in the
 * background.
 */
import { describeError } from '../base/errors.ts';
import { loadBinding } from '../native/binding.ts';
import { type DaemonStart, startDaemon } from './daemon.ts';
import { describeProgress } from './progress-log.ts';
import { announceSuccession } from './succession.ts';

/**
 * Runs until the mount is gone. The first SIGTERM or SIGINT unmounts (lazily when the mount is in use), the second aborts the
 * mount under its users. @returns the exit status: 0 after an unmount. @throws TetherfsError when it cannot be mounted.
 */
export async function runDaemon(start: DaemonStart, onReady: () => void | Promise<void>): Promise<number> {
  const { options, log, onProgress } = start;
  const { notifyServiceManager } = loadBinding();
  // A defect on one read's path must not take the machine's root away: it is reported, and the daemon lives on.
  process.on('uncaughtException', (error) => log.error('defect', { error: error.stack ?? describeError(error) }));
  process.on('SIGHUP', () => {});
  const daemon = await startDaemon({
    ...start,
    onProgress(progress) {
      notifyServiceManager(`STATUS=${describeProgress(progress)}`);
      onProgress(progress);
    },
  });
  let signals = 0;
  const onSignal = () => {
    if (signals++ > 0) daemon.abort();
    else daemon.stop().catch((error: unknown) => log.error('cannot unmount', { error: describeError(error) }));
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  await onReady();
  notifyServiceManager(`READY=1\nSTATUS=mounted on ${options.mountpoint}`);
  if (start.inheritance !== undefined) announceSuccession(options.mountpoint);
  log.info('ready', { mountpoint: options.mountpoint });
  return (await daemon.ended) === 0 ? 0 : 1;
}
