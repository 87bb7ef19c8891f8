/**
 * A member's health as pure logic: what a fault or a success makes of its state, and when it is to be probed next. Time
 * (monotonic ms) is passed in. The table of docs/members-and-hedging.md is this file.
 */
import type { MemberState } from './contract.ts';
import type { FaultKind } from './errors.ts';

/** The state that a fault alone puts an `up` member in. */
const consequences: Record<Exclude<FaultKind, 'defect'>, Exclude<MemberState, 'up'>> = {
  reset: 'suspect',
  timeout: 'suspect',
  'short-body': 'suspect',
  protocol: 'suspect',
  resolve: 'down',
  connect: 'down',
  tls: 'down',
  busy: 'down',
  status: 'down',
  redirect: 'down',
  'no-ranges': 'down',
  encoding: 'down',
  'content-range': 'down',
  'long-body': 'down',
  format: 'stale',
  size: 'stale',
  changed: 'stale',
  identity: 'stale',
  corrupt: 'corrupt',
};

/** So many separate faults in a row, none of them grave alone, and a suspect member is down. */
const faultsUntilDown = 3;
/** Faults within so many ms of one that was counted have its cause: a link that stalls stalls all its requests. */
const oneCauseMs = 100;

/**
 * Base of the delay before a probe: doubled with each failure, up to the longest. Jittered by ±60 %, so at most 4.8 s; with less, all who
 * saw a short fault at the same moment would return within 100 ms (`scripts/bench faults --only herd`).
 */
const firstProbeMs = 350;
const longestProbeMs = 3_000;
const probeJitter = 0.6;
/** In an outage every member is asked this often, ± a third: reads resume within half a second of the first that is back. */
const outageProbeMs = 270;
const outageJitter = 1 / 3;
/** A member that falls again sooner than this after it came back keeps its longer probe delays. */
const relapseMs = 10_000;

/** The reason of whoever nobody has asked yet. */
export const notAskedYet = 'not asked yet';

export class Health {
  #state: MemberState = 'down';
  #reason = notAskedYet;
  #since: number;
  #faultsInRow = 0;
  #countedAt = Number.NEGATIVE_INFINITY;
  #probeFailures = 0;
  /** So many times in a row a probe found it well, and it fell again before it had delivered anything. */
  #hollowReturns = 0;
  #hasDelivered = true;

  constructor(now: number) {
    this.#since = now;
  }

  get state(): MemberState {
    return this.#state;
  }

  /** Why it is not up; empty when it is. */
  get reason(): string {
    return this.#reason;
  }

  get since(): number {
    return this.#since;
  }

  /** Goes on as a process before us saw it. */
  recall(state: MemberState, reason: string, now: number): void {
    this.#state = state;
    this.#reason = reason;
    this.#since = now;
  }

  /** An exchange failed. True when the state changed. Our own defects say nothing of a member. */
  fault(kind: FaultKind, reason: string, now: number): boolean {
    if (kind === 'defect') return false;
    if (now - this.#countedAt >= oneCauseMs) {
      this.#faultsInRow++;
      this.#countedAt = now;
    }
    const consequence = consequences[kind];
    const next = consequence === 'suspect' && this.#faultsInRow >= faultsUntilDown ? 'down' : consequence;
    return worsens(this.#state, next) ? this.#enter(next, reason, now) : this.#stay(next, reason);
  }

  /**
   * A whole range was delivered that had been asked for at `askedAt`: a suspect is cleared, unless it was asked before it became one;
   * such bytes may have lain in buffers since. Fenced members need a probe. True when the state changed.
   */
  delivered(askedAt: number, now: number): boolean {
    if (askedAt < this.#since) return false;
    this.#faultsInRow = 0;
    this.#hollowReturns = 0;
    this.#hasDelivered = true;
    return this.#state === 'suspect' && this.#enter('up', '', now);
  }

  /** A probe found the image's own bytes. True when the state changed. */
  identified(now: number): boolean {
    this.#faultsInRow = 0;
    if (this.#state === 'up') return false;
    this.#hasDelivered = false;
    return this.#enter('up', '', now);
  }

  /** A probe failed: the next one comes later. */
  probeFailed(): void {
    this.#probeFailures++;
  }

  /** ms until the next probe, from a draw `random` in [0, 1). */
  probeDelay(random: number, outage: boolean): number {
    if (outage) return this.#outageProbeMs * (1 + outageJitter * (2 * random - 1));
    const base = Math.min(firstProbeMs * 2 ** this.#probeFailures, longestProbeMs);
    return base * (1 + probeJitter * (2 * random - 1));
  }

  /** Who falls as soon as it is read is asked less and less often: its second hollow return doubles the pace, and each further one. */
  get #outageProbeMs(): number {
    return Math.min(outageProbeMs * 2 ** Math.max(0, this.#hollowReturns - 1), longestProbeMs);
  }

  #enter(state: MemberState, reason: string, now: number): true {
    if (this.#state === 'up') {
      const relapsed = now - this.#since < relapseMs;
      this.#probeFailures = relapsed ? this.#probeFailures + 1 : 0;
      this.#hollowReturns = relapsed && !this.#hasDelivered ? this.#hollowReturns + 1 : 0;
    }
    this.#state = state;
    this.#reason = reason;
    this.#since = now;
    return true;
  }

  /** The newest reason for the same state is the one worth showing; for one that is down, whatever it is down for now. */
  #stay(state: MemberState, reason: string): false {
    if (state === this.#state || this.#state === 'down') this.#reason = reason;
    return false;
  }
}

/** A fence (stale, corrupt) is lifted by a probe alone; corrupt outranks stale, which outranks unreachable. */
const gravity: Record<MemberState, number> = { up: 0, suspect: 1, down: 2, stale: 3, corrupt: 4 };

function worsens(from: MemberState, to: MemberState): boolean {
  return gravity[to] > gravity[from];
}
