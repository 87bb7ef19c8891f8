import type { TimeSource } from '../base/time-source.ts';

/**
 * Calls back once after `ms`, but only when the sockets have been looked at since: a timer may be late because this process
 * was busy, while the answer it waits for lies in a socket already. Returns the canceller.
 */
export function afterPoll(time: TimeSource, ms: number, callback: () => void): () => void {
  let immediate: NodeJS.Immediate | undefined;
  const cancel = time.after(ms, () => {
    immediate = setImmediate(callback);
  });
  return () => {
    cancel();
    clearImmediate(immediate);
  };
}
