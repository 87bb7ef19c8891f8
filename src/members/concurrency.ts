/**
 * How many requests a member takes from us at once. One that refuses some while it answers others (`busy` in errors.ts: a limit of
 * connections, a server that sheds load) is asked for less at once, not given up. Time in ms, passed in.
 */

/** Without a refusal for this long, half as many more are tried: what is refused then costs one request. */
const growMs = 5_000;
/** Beyond this no limit of ours matters: connections have their own. */
const most = 64;

export class Concurrency {
  #limit = Number.POSITIVE_INFINITY;
  #changedAt = 0;

  /** At most so many at once now; Infinity where none was refused. */
  limit(now: number): number {
    while (now - this.#changedAt >= growMs && this.#limit < most) {
      this.#limit += Math.ceil(this.#limit / 2);
      this.#changedAt += growMs;
    }
    return this.#limit;
  }

  /** One was refused while so many others were under way. */
  refused(others: number, now: number): void {
    this.#limit = Math.max(1, Math.min(this.limit(now), others));
    this.#changedAt = now;
  }

  /** The member was out and is back: what it refused then tells nothing. */
  restart(): void {
    this.#limit = Number.POSITIVE_INFINITY;
  }
}
