/** The service manager's watchdog, sd_watchdog_enabled(3): it is told now and then that we live, by what would stop if our event loop did. */
import { loadBinding } from '../native/binding.ts';

/** Signs of life in the time that the manager waits for one. */
const signs = 3;

/** $WATCHDOG_USEC, in microseconds, when it is meant for us. */
export function watchdogTime(): string | undefined {
  const { WATCHDOG_USEC: time, WATCHDOG_PID: pid } = process.env;
  const isOurs = pid === undefined || Number(pid) === process.pid;
  return isOurs && Number(time) > 0 ? time : undefined;
}

/** Until the returned function is called. Where there is no watchdog it does nothing. */
export function feedWatchdog(native = loadBinding()): () => void {
  const time = watchdogTime();
  if (time === undefined) return () => {};
  const timer = setInterval(() => native.notifyServiceManager('WATCHDOG=1'), Number(time) / 1000 / signs);
  timer.unref();
  return () => clearInterval(timer);
}
