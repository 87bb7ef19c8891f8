import { systemTime, type TimeSource } from '../../src/base/time-source.ts';

/**
 * Time that passes `factor` times more slowly than ours: every deadline comes later, whatever comes over a socket does not. So a deadline is told
 * from another, and from the moment that a busy machine takes from this process.
 */
export function slowedTime(factor: number): TimeSource {
  return {
    now: () => systemTime.now() / factor,
    after: (ms, callback) => systemTime.after(ms * factor, callback),
    random: systemTime.random,
  };
}
