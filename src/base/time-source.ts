/**
 * Time, timers and randomness, passed in wherever they decide something, so that a test can pass others. `now` is the
 * monotonic clock in milliseconds: a node's wall clock may jump while it boots.
 */
export interface TimeSource {
  /** Monotonic milliseconds, fractional. */
  now(): number;
  /** Calls back once after `ms`. Does not keep the process alive. Returns the canceller. */
  after(ms: number, callback: () => void): () => void;
  /** Uniform in [0, 1). */
  random(): number;
}

/** Of setTimeout, in ms: 24.8 days. It takes anything longer for 1 ms. */
const longestTimeout = 2 ** 31 - 1;

export const systemTime: TimeSource = {
  now: () => performance.now(),
  after(ms, callback) {
    let timer: NodeJS.Timeout;
    const wait = (left: number) => {
      const now = Math.min(left, longestTimeout);
      timer = setTimeout(() => (left > now ? wait(left - now) : callback()), now);
      timer.unref();
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

/** `base` ms, spread evenly over ±`share` of it, so that a thousand nodes do not act at once. */
export function jittered(time: TimeSource, base: number, share = 0.5): number {
  return base * (1 - share + 2 * share * time.random());
}
