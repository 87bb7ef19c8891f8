/**
 * Getting one span: a first attempt at the best member; a hedge when its first byte is later than this member's usual, or the
 * rest comes far more slowly; a retry elsewhere when it fails, stalls or turns out wrong. At most two copies are under way at once.
 * The fetch is over when the target misses nothing any more, which may be a while after the last byte came, because bytes are
 * verified meanwhile.
 *
 * Every decision is taken in one place, `#advance`, from what is true at that moment; everything that happens (a fault, an
 * alarm, a verdict, a member that came back) merely calls it.
 */
import type { ByteRange } from '../base/byte-range.ts';
import type { TimeSource } from '../base/time-source.ts';
import { afterPoll } from './after-poll.ts';
import { Attempt, type AttemptRole } from './attempt.ts';
import type { FetchPriority, FetchTarget, SpanFetch } from './contract.ts';
import { FetchCancelled, MemberFault, type OutageError } from './errors.ts';
import type { HedgeBudget } from './hedge-budget.ts';
import type { Member } from './member.ts';

/** A fetch looks at its situation at least this often, in ms: a reader must not hang on a wake-up that was lost. */
const lookAgainMs = 1_000;
/** Two copies under way at once, not more. */
const mostCopies = 2;
/** When the target has no storage for a copy although none is under way: ask again after this, in ms. */
const storageRetryMs = 5;
/** Attempts before a failing fetch slows down; then the pause doubles from the first to the longest, in ms. */
const quickAttempts = 4;
const firstPauseMs = 10;
const longestPauseMs = 500;
/** How far the deadlines stretch when the only member left is asked again and again. */
const mostPatience = 64;

/** Timers count whole ms, and ring so much late on an idle machine. */
const usualLagMs = 3;

/** What a fetch needs of the collective. */
export interface FetchWorld {
  readonly imageSize: number;
  readonly time: TimeSource;
  readonly budget: HedgeBudget;
  /** The member for `bytes` more, none of `except`. */
  pick(bytes: number, except: readonly Member[]): Member | undefined;
  onFault(member: Member, fault: MemberFault, range: ByteRange): void;
  onDelivered(member: Member, askedAt: number): void;
  /** Why a fetch of this priority may not wait for a member now; undefined when it may. */
  refusal(priority: FetchPriority): OutageError | undefined;
  /** Why a fetch that somebody waits for is given up when nothing of it was completed for so many ms; undefined when it goes on. */
  hopeless(waitedMs: number): OutageError | undefined;
  /** Wakes the fetch when a member comes back or gets room, and when waiting is no longer allowed. */
  wait(fetch: HedgedFetch): void;
  /** So many more bytes were received in vain, of a fetch that is over. */
  onDrained(bytes: number): void;
  /** The fetch is over; `wasted` bytes were received in vain. */
  onSettled(fetch: HedgedFetch, wasted: number): void;
}

export class HedgedFetch implements SpanFetch {
  readonly done: Promise<void>;
  readonly #target: FetchTarget;
  readonly #world: FetchWorld;
  readonly #settle = Promise.withResolvers<void>();
  readonly #wanted: number;
  #priority: FetchPriority;
  #settled = false;
  #live: Attempt[] = [];
  /** It delivered everything; its verdict is awaited. */
  #delivered: Attempt | undefined;
  #attempts = 0;
  #received = 0;
  #patience = 1;
  #notBefore = 0;
  /** One hedge a fetch. While there is nobody to send it to, or the budget has none, it is looked for again. */
  #hedgeSpent = false;
  #hedgeSeen = false;
  #hedgeNotBefore = 0;
  /** ms by which alarms have rung late: so long this process was busy, and no member is to blame. */
  #excusedMs = 0;
  #cancelAlarm: () => void = () => {};
  /** When a chunk was completed last, or somebody began to wait. */
  #progressAt: number;

  constructor(priority: FetchPriority, target: FetchTarget, world: FetchWorld) {
    this.#priority = priority;
    this.#target = target;
    this.#world = world;
    this.#wanted = target.missing()?.length ?? 0;
    this.#progressAt = world.time.now();
    this.done = this.#settle.promise;
    // a caller may drop the promise of a fetch that it cancels
    this.done.catch(() => {});
  }

  get priority(): FetchPriority {
    return this.#priority;
  }

  /** Begins, or goes on after a wait. */
  advance(): void {
    if (!this.#settled) this.#advance();
  }

  promote(): void {
    if (this.#priority === 'demand' || this.#settled) return;
    this.#priority = 'demand';
    this.#progressAt = this.#world.time.now();
    this.#advance();
  }

  progressed(): void {
    if (this.#settled) return;
    this.#progressAt = this.#world.time.now();
    if (this.#target.missing() === undefined) this.#finish();
  }

  cancel(): void {
    this.#finish(new FetchCancelled());
  }

  #advance(): void {
    this.#cancelAlarm();
    const missing = this.#target.missing();
    const hopeless = this.#hopeless();
    if (missing === undefined) this.#finish();
    else if (hopeless !== undefined) this.#finish(hopeless);
    else if (this.#delivered === undefined) this.#pursue(missing);
    else this.#alarm(lookAgainMs);
  }

  /** Members that answer probes and nothing else begin no outage, and a reader who may not wait for one may not wait for them either. */
  #hopeless(): OutageError | undefined {
    if (this.#priority !== 'demand') return undefined;
    return this.#world.hopeless(this.#world.time.now() - this.#progressAt);
  }

  #pursue(missing: ByteRange): void {
    const now = this.#world.time.now();
    this.#judgeStalls(now);
    const working = this.#live.find((attempt) => !attempt.stalled);
    if (working !== undefined) {
      if (this.#hedgeAt(working) <= now) this.#hedge(working, missing, now);
    } else if (now >= this.#notBefore) {
      this.#start(this.#attempts === 0 ? 'first' : 'retry', missing);
    }
    this.#alarmForDeadlines(now);
  }

  #judgeStalls(now: number): void {
    for (const attempt of this.#live) {
      if (attempt.stalled || now < attempt.stalledAt) continue;
      attempt.stalled = true;
      this.#onStalled(attempt, now >= attempt.memberStalledAt || attempt.isMemberSilent);
    }
  }

  /** @param whole whether nothing came from its member on any connection. */
  #onStalled({ member, range, received, startedAt, begun }: Attempt, whole: boolean): void {
    const now = this.#world.time.now();
    if (!whole) {
      member.count('timeout');
      // What is given up leaves no sample: without this it would be asked again and again.
      if (begun) member.speed.crawls(now);
      else member.speed.late(now - startedAt, now);
      return;
    }
    const waited = Math.round(now - startedAt);
    const offset = range.offset + received;
    const what = `no progress (${waited} ms after the request)`;
    this.#world.onFault(member, new MemberFault('timeout', member.url.text, what, { offset }), range);
  }

  #start(role: AttemptRole, missing: ByteRange): void {
    const world = this.#world;
    const busy = this.#live.map(({ member }) => member);
    const other = world.pick(missing.length, busy);
    const member = other ?? (role === 'hedge' ? undefined : world.pick(missing.length, []));
    if (member === undefined) {
      if (role !== 'hedge') this.#waitForMember();
      return;
    }
    // only stalled attempts are under way when a retry starts: the oldest makes room
    if (this.#live.length >= mostCopies) this.#giveUp(this.#live[0]);
    // the only member left gets a fresh connection instead of the stalled one, and more time
    const replaces = this.#live.find((attempt) => attempt.member === member);
    if (replaces !== undefined) {
      this.#giveUp(replaces);
      this.#patience = Math.min(this.#patience * 2, mostPatience);
    }
    let attempt: Attempt | undefined;
    const verdict = { corrupt: (range: ByteRange) => this.#onCorrupt(attempt, member, range) };
    let sink = this.#target.open(missing, verdict);
    if (sink === undefined && role !== 'hedge') {
      this.#giveUp(this.#live[0]);
      sink = this.#target.open(missing, verdict);
    }
    if (sink === undefined) {
      if (role !== 'hedge') this.#notBefore = world.time.now() + storageRetryMs;
      return;
    }
    this.#attempts++;
    if (this.#attempts >= quickAttempts) this.#notBefore = world.time.now() + this.#pauseMs();
    attempt = new Attempt({
      member,
      imageSize: world.imageSize,
      range: missing,
      role,
      fresh: replaces !== undefined,
      patience: this.#patience,
      sink,
      time: world.time,
      listener: {
        onDelivered: (delivered) => this.#onDelivered(delivered),
        onFault: (failed, fault) => this.#onFault(failed, fault),
        onDrained: (bytes) => world.onDrained(bytes),
        onLost: (lost, stalled) => this.#onStalled(lost, stalled),
      },
    });
    this.#live.push(attempt);
    // It may fail at once: by now it is known.
    attempt.start();
  }

  #hedge(late: Attempt, missing: ByteRange, now: number): void {
    if (!this.#hedgeSeen) {
      this.#hedgeSeen = true;
      const { speed } = late.member;
      if (late.begun) speed.crawls(now);
      else speed.late(now - late.startedAt, now);
    }
    this.#hedgeNotBefore = now + lookAgainMs;
    const busy = this.#live.map(({ member }) => member);
    if (this.#world.pick(missing.length, busy) === undefined || !this.#world.budget.take()) return;
    this.#hedgeSpent = true;
    this.#start('hedge', missing);
  }

  /** When a hedge is due for the one attempt that works; never again once one was sent, or for a prefetch. */
  #hedgeAt(working: Attempt): number {
    const alone = this.#live.length === 1;
    if (this.#priority !== 'demand' || this.#hedgeSpent || !alone) return Number.POSITIVE_INFINITY;
    return Math.max(working.hedgeAt + this.#excusedMs, this.#hedgeNotBefore);
  }

  #pauseMs(): number {
    return Math.min(firstPauseMs * 2 ** (this.#attempts - quickAttempts), longestPauseMs);
  }

  #giveUp(attempt: Attempt | undefined): void {
    if (attempt === undefined) return;
    this.#drop(attempt);
    attempt.kill();
  }

  #drop(attempt: Attempt): void {
    this.#live = this.#live.filter((other) => other !== attempt);
    this.#received += attempt.received;
  }

  #waitForMember(): void {
    const refusal = this.#world.refusal(this.#priority);
    if (refusal !== undefined) this.#finish(refusal);
    else this.#world.wait(this);
  }

  #onDelivered(attempt: Attempt): void {
    if (this.#settled) return;
    this.#drop(attempt);
    if (attempt.role === 'hedge') attempt.member.hedgesWon++;
    this.#delivered = attempt;
    this.#world.onDelivered(attempt.member, attempt.startedAt);
    this.#advance();
  }

  #onFault(attempt: Attempt, fault: MemberFault): void {
    if (this.#settled && fault.kind !== 'defect') return;
    if (this.#live.includes(attempt)) this.#drop(attempt);
    this.#world.onFault(attempt.member, fault, attempt.range);
    this.advance();
  }

  /** May come long after the attempt ended, even after the fetch did: the member is fenced all the same. */
  #onCorrupt(attempt: Attempt | undefined, member: Member, range: ByteRange): void {
    const fault = new MemberFault('corrupt', member.url.text, 'serves bytes that do not match the digest', {
      offset: range.offset,
    });
    this.#world.onFault(member, fault, range);
    if (this.#settled) return;
    if (this.#delivered === attempt) this.#delivered = undefined;
    if (attempt !== undefined && this.#live.includes(attempt)) this.#giveUp(attempt);
    this.#advance();
  }

  #finish(error?: Error): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#cancelAlarm();
    const losers = this.#live;
    for (const attempt of losers) {
      this.#drop(attempt);
      attempt.abandon();
    }
    const used = this.#wanted - (this.#target.missing()?.length ?? 0);
    this.#world.onSettled(this, Math.max(0, this.#received - used));
    if (error === undefined) this.#settle.resolve();
    else this.#settle.reject(error);
  }

  /** `now` is the moment the decisions were taken at: a deadline that passed since must still ring. */
  #alarmForDeadlines(now: number): void {
    if (this.#settled) return;
    const deadlines = this.#live.filter(({ stalled }) => !stalled).flatMap((a) => [a.stalledAt, this.#hedgeAt(a)]);
    if (this.#notBefore > now) deadlines.push(this.#notBefore);
    const next = Math.min(...deadlines, now + lookAgainMs);
    this.#alarm(Math.max(0, next - this.#world.time.now()));
  }

  #alarm(ms: number): void {
    const { time } = this.#world;
    const dueAt = time.now() + ms;
    this.#cancelAlarm = afterPoll(time, ms, () => {
      const lateMs = time.now() - dueAt;
      if (lateMs > usualLagMs) this.#excusedMs += lateMs;
      this.advance();
    });
  }
}
