/**
 * The control of a promise in ms: how late this process got its turn meanwhile. What a reader waited beyond that is not the machine's doing. (Figures
 * on a quiet machine are `npm run bench:faults`' business.)
 */
const tickMs = 5;

export class Lag implements Disposable {
  #longest = 0;
  #last = performance.now();
  readonly #timer = setInterval(() => this.#tick(), tickMs);

  /** ms, since it was made. */
  get longest(): number {
    this.#tick();
    return this.#longest;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = performance.now();
    this.#longest = Math.max(this.#longest, now - this.#last - tickMs);
    this.#last = now;
  }
}
