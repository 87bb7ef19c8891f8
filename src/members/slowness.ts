/**
 * Whether a member answers distinctly slower than it usually does: others ask much of it, and what nobody waits for should not be asked
 * besides. Judged by times to first byte of requests that were alone on the member; in ms, time passed in.
 */

/** So many answers in a row must have been slow: one quick one says that the member has time. */
const inRow = 4;
/** Slow is more than `factor` times the usual, and by more than `margin`: below that, a LAN's jitter and a disk's seeks look the same. */
const factor = 3;
const margin = 20;
/** Older answers tell nothing of now. Short, so that whoever pauses because of them tries again soon. */
const staleAfter = 5_000;
/** The least of this period and the one before is the usual: a network that has become slower for good is believed by then. */
const period = 300_000;

export class Slowness {
  #recent: number[] = [];
  #lastAt = Number.NEGATIVE_INFINITY;
  #periodBegan = Number.NEGATIVE_INFINITY;
  #least = Number.POSITIVE_INFINITY;
  #leastBefore = Number.POSITIVE_INFINITY;

  /** The first byte of an answer came after `ms`. */
  record(ms: number, now: number): void {
    if (now - this.#periodBegan >= period) {
      this.#leastBefore = now - this.#periodBegan < 2 * period ? this.#least : Number.POSITIVE_INFINITY;
      this.#least = Number.POSITIVE_INFINITY;
      this.#periodBegan = now;
    }
    this.#least = Math.min(this.#least, ms);
    this.#recent = [...this.#recent.slice(1 - inRow), ms];
    this.#lastAt = now;
  }

  /** The member was out and is back: its last answers tell nothing. */
  restart(): void {
    this.#recent = [];
  }

  /** The quickest answer of the last minutes: what the way there and back takes. Undefined before the first. */
  get usual(): number | undefined {
    const least = Math.min(this.#least, this.#leastBefore);
    return Number.isFinite(least) ? least : undefined;
  }

  present(now: number): boolean {
    const { usual } = this;
    if (usual === undefined || this.#recent.length < inRow || now - this.#lastAt > staleAfter) return false;
    return Math.min(...this.#recent) > Math.max(factor * usual, usual + margin);
  }
}
