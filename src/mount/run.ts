/**
 * A daemon's life in a process: started, ended by signals, its exit status. Used by both `mount --foreground` and the daemon in the
 * background.
 */
import { describeError } from '../base/errors.ts';
import { loadBinding } from '../native/binding.ts';
import { type Daemon, type DaemonStart, startDaemon } from './daemon.ts';
import { describeProgress } from './progress-log.ts';
import { announceSuccession } from './succession.ts';
import { feedWatchdog } from './watchdog.ts';

/** They would end us, or, by Node's own will, open its debugger. Who sends them means somebody else. */
const othersSignals = ['SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const;

/**
 * Runs until the mount is gone. The first SIGTERM or SIGINT unmounts (lazily when the mount is in use), the second aborts the
 * mount under its users. @returns the exit status: 0 after an unmount. @throws TetherfsError when it cannot be mounted.
 */
export async function runDaemon(
  start: Omit<DaemonStart, 'onMounting'>,
  onReady: () => void | Promise<void>,
): Promise<number> {
  const { options, log, onProgress } = start;
  const { notifyServiceManager } = loadBinding();
  // A line end would begin another message.
  const say = (status: string, more = '') => notifyServiceManager(`${more}STATUS=${status.replace(/\s+/g, ' ')}`);
  let daemon: Daemon | undefined;
  process.on('uncaughtException', (error) => {
    log.error('defect', { error: error.stack ?? describeError(error) });
    if (daemon === undefined || daemon.kept) die();
  });
  feedWatchdog();
  for (const name of othersSignals) process.on(name, () => {});
  let isReloadWanted = false;
  process.on('SIGHUP', () => {
    if (daemon === undefined) log.info('SIGHUP: the members are read again once it is mounted');
    isReloadWanted = daemon === undefined;
    daemon?.reload();
  });
  let isMounting = false;
  let signals = 0;
  const onSignal = (name: NodeJS.Signals) => {
    // While there is no mount, we just end.
    if (!isMounting) endBy(name);
    else if (signals++ > 0) abort();
    else if (daemon !== undefined) void stop(daemon);
  };
  const stop = ({ stop }: Daemon) =>
    stop().catch((error: unknown) => {
      log.error('cannot unmount', { error: describeError(error) });
      // The next one tries again rather than abort what could not even be detached.
      signals = 0;
    });
  const abort = () => {
    try {
      daemon?.abort();
    } catch (error) {
      log.error(describeError(error));
    }
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  say('waiting for the members');
  daemon = await startDaemon({
    ...start,
    onMounting() {
      isMounting = true;
    },
    onProgress(progress) {
      say(describeProgress(progress));
      onProgress(progress);
    },
  });
  const { ended } = daemon;
  if (isReloadWanted) daemon.reload();
  if (signals > 0) void stop(daemon);
  try {
    await onReady();
  } catch (error) {
    // Who is told that it failed must find nothing mounted.
    await daemon.stop().catch(() => {});
    await ended;
    throw error;
  }
  say(`mounted on ${options.mountpoint}`, 'READY=1\n');
  if (start.inheritance !== undefined) announceSuccession(options.mountpoint);
  log.info('ready', { mountpoint: options.mountpoint });
  return (await ended) === 0 ? 0 : 1;
}

/** As who never caught the signal. */
function endBy(name: NodeJS.Signals): void {
  process.removeAllListeners(name);
  process.kill(process.pid, name);
}

/**
 * After a defect nobody knows what still holds: something that a reader waits for may be lost. Where our descriptors are kept a successor that knows
 * nothing of it goes on after a pause, and where there is no mount yet there is nothing to lose. Only where a crash would take the mount
 * away, a machine's root perhaps, it is better to live on.
 */
function die(): void {
  process.kill(process.pid, 'SIGKILL');
}
