/** Time that passes only when a test says so. */
import type { TimeSource } from '../../src/base/time-source.ts';

export class ManualTime implements TimeSource {
  #now = 0;
  #timers: { at: number; callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  random(): number {
    return 0.5;
  }

  /** Lets so many ms pass, with every timer that falls due in them, in order, and all that follows from each before the next. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      await settled();
      const [next] = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = next.at;
      next.callback();
    }
    this.#now = until;
  }
}

/** When every promise that could has settled, and with it those that waited for it. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
