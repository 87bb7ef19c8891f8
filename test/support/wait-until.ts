/** Waits for something to become so, by asking often; never by sleeping for a fixed time and hoping. */
import { setTimeout as delay } from 'node:timers/promises';
import { describeError } from '../../src/base/errors.ts';

export interface WaitOptions {
  /** After this many ms it throws. */
  timeoutMs?: number;
  /** ms between two questions. */
  intervalMs?: number;
}

/**
 * Resolves with the first answer of `probe` that is neither undefined nor false. A probe that throws has not answered.
 * @param what completes the sentence "timed out waiting until …".
 * @throws Error when time is up; it carries the probe's last error.
 */
export async function waitUntil<T>(
  what: string,
  probe: () => T | Promise<T>,
  { timeoutMs = 30_000, intervalMs = 20 }: WaitOptions = {},
): Promise<Exclude<T, undefined | false>> {
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const answer = await probe();
      if (answer !== undefined && answer !== false) return answer as Exclude<T, undefined | false>;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() >= deadline) {
      const why = lastError === undefined ? '' : `: ${describeError(lastError)}`;
      throw new Error(`timed out after ${timeoutMs} ms waiting until ${what}${why}`, { cause: lastError });
    }
    await delay(intervalMs);
  }
}
