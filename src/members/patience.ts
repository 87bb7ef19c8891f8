/**
 * Whatever timed out is asked more patiently the next time. A server that is slow to begin each answer (a boot storm, cold disks, a satellite) is no
 * worse than that, and where it is the best there is it must be waited for.
 */

/** Stretched no further than to these, in ms: nothing at all for the first, or not all by the second, and it is of no use. */
const longestStallMs = 30_000;
const longestLimitMs = 600_000;

export interface Deadlines {
  /** Nothing at all has come for so many ms. */
  stallMs: number;
  /** Not all has come after so many ms. */
  limitMs: number;
}

/** @param times how often it timed out before: each doubles the deadlines. */
export function patiently({ stallMs, limitMs }: Deadlines, times: number): Deadlines {
  const factor = 2 ** Math.min(times, 20);
  return {
    stallMs: Math.max(stallMs, Math.min(stallMs * factor, longestStallMs)),
    limitMs: Math.max(limitMs, Math.min(limitMs * factor, longestLimitMs)),
  };
}
