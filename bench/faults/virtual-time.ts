/** A clock that stands still until it is told to go on: hours pass in moments, and many clients share one. */
import type { TimeSource } from '../../src/base/time-source.ts';

export class VirtualTime implements TimeSource {
  readonly #random: () => number;
  readonly #alarms = new Set<{ at: number; callback: () => void }>();
  #now = 0;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  now(): number {
    return this.#now;
  }

  random(): number {
    return this.#random();
  }

  after(ms: number, callback: () => void): () => void {
    const alarm = { at: this.#now + ms, callback };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Lets everything happen that is due until then, in order; promises settle in between. */
  async goOnUntil(end: number): Promise<void> {
    for (;;) {
      await new Promise(setImmediate);
      const at = Math.min(...[...this.#alarms].map((alarm) => alarm.at));
      if (at > end) break;
      this.#now = at;
      for (const alarm of this.#alarms) {
        if (alarm.at > at) continue;
        this.#alarms.delete(alarm);
        alarm.callback();
      }
    }
    this.#now = end;
  }
}
