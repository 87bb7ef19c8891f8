/**
 * The control of a promise in ms: how late this process got its turn meanwhile. What a reader waited beyond that is not the machine's doing. (Figures
 * on a quiet machine are `npm run bench:faults`' business.)
 */
const tickMs = 5;

export class Lag implements Disposable {
  #longest = 0;
  #total = 0;
  #last = performance.now();
  readonly #timer = setInterval(() => this.#tick(), tickMs);

  /** ms, since it was made. */
  get longest(): number {
    this.#tick();
    return this.#longest;
  }

  /** ms, of all the times together. */
  get total(): number {
    this.#tick();
    return this.#total;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = performance.now();
    const late = Math.max(0, now - this.#last - tickMs);
    this.#longest = Math.max(this.#longest, late);
    this.#total += late;
    this.#last = now;
  }
}
