/**
 * How fast the whole image is pulled into RAM: as fast as the members deliver while nobody could use the mount anyway, or behind the
 * reads of a running machine, which then come first.
 */
import type { TimeSource } from '../base/time-source.ts';
import type { Collective } from '../members/contract.ts';

const KiB = 1024;

/** Why nothing is pulled at this moment. */
export type Pause = 'demand' | 'members' | 'rate';

export interface Pace {
  /** Bytes asked for in one request. */
  readonly spanBytes: number;
  /** How many requests may be under way now, or why there may be none. */
  allowance(): number | Pause;
  /** So many bytes were asked for. */
  asked(bytes: number): void;
}

/** All members at once, as many requests as their pipes hold. */
export function fullPace(collective: Pick<Collective, 'suggestedPrefetchSpans'>): Pace {
  return { spanBytes: 1024 * KiB, allowance: () => collective.suggestedPrefetchSpans, asked: () => {} };
}

export interface BackgroundPaceParts {
  collective: Pick<Collective, 'busy' | 'usableMembers'>;
  /** For how long, in ms, no reader has had to wait. */
  quietMs: () => number;
  /** Bytes a second at most; undefined: no cap. */
  rate: number | undefined;
  time: TimeSource;
}

/**
 * Readers count as busy until they have not waited for this long, in ms. A boot computes between its reads: what is asked for in such a
 * gap would lie in the way of the next read. bench/boot.ts.
 */
const quietAfterMs = 250;
/** However busy the readers are, one request is allowed after this long, in ms: so it ends some day, for a hundredth of their link. */
const longestPauseMs = 2_000;
/** What the rate may have saved up, in ms. */
const burstMs = 250;

/** Behind the reads: small requests, about one at each member, none while a reader waits or the members are busy, within a rate. */
export class BackgroundPace implements Pace {
  readonly spanBytes = 512 * KiB;
  readonly #parts: BackgroundPaceParts;
  #askedAt: number;
  #credit = 0;
  #creditAt: number;

  constructor(parts: BackgroundPaceParts) {
    this.#parts = parts;
    this.#askedAt = parts.time.now();
    this.#creditAt = parts.time.now();
  }

  allowance(): number | Pause {
    const { collective, quietMs, time } = this.#parts;
    if (this.#creditNow() < 0) return 'rate';
    const starving = time.now() - this.#askedAt >= longestPauseMs;
    if (starving) return 1;
    if (quietMs() < quietAfterMs) return 'demand';
    return collective.busy ? 'members' : Math.max(1, collective.usableMembers);
  }

  asked(bytes: number): void {
    this.#askedAt = this.#parts.time.now();
    this.#credit = this.#creditNow() - bytes;
  }

  /** Bytes that the rate allows now; a request may overdraw it, and the next one waits for that. */
  #creditNow(): number {
    const { rate, time } = this.#parts;
    if (rate === undefined) return 0;
    const now = time.now();
    this.#credit = Math.min(this.#credit + ((now - this.#creditAt) / 1000) * rate, (burstMs / 1000) * rate);
    this.#creditAt = now;
    return this.#credit;
  }
}
