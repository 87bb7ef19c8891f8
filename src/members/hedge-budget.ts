/**
 * The budget of speculative hedges: a token bucket that every fetch fills by a share of a token, so that hedges stay a
 * small part of the traffic even when every member is slow. Retries after a fault or a stall do not ask here.
 */
export class HedgeBudget {
  readonly #share: number;
  readonly #burst: number;
  #tokens: number;

  /** `share` of the fetches may be hedged; `burst` at once. */
  constructor(share = 0.05, burst = 16) {
    this.#share = share;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** A fetch began. */
  deposit(): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + this.#share);
  }

  /** True, and a token less, when a hedge may be sent. */
  take(): boolean {
    // 1e-9: twenty deposits of 0.05 must make a whole token
    if (this.#tokens + 1e-9 < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
