/**
 * One attempt at a span: one range request to one member, its bytes given to one sink. It keeps the member's books (queue,
 * latency, throughput) and forgives, by asking once more on a fresh connection, what says nothing of the member: an idle connection that
 * the server closed at the moment of its reuse, which is HTTP's race; and a refusal by who has nothing else to do for us, because of several
 * servers behind one address one may be ill.
 */
import type { ByteRange } from '../base/byte-range.ts';
import type { TimeSource } from '../base/time-source.ts';
import { afterPoll } from './after-poll.ts';
import type { Connection } from './connections.ts';
import type { AttemptSink } from './contract.ts';
import { crawlsAfter, hedgeAfter, overdueAfter, stallAfter } from './deadlines.ts';
import type { MemberFault } from './errors.ts';
import type { Get } from './http-get.ts';
import type { Member } from './member.ts';
import { requestRange } from './range-request.ts';

/** `retry`: the one before failed or stalled. `hedge`: the one before is merely late. */
export type AttemptRole = 'first' | 'retry' | 'hedge';

/** A loser with no more than this still to come is read to its end: that is cheaper than a new connection. */
const drainBytes = 262_144;
/** … but not for longer than this. */
const drainMs = 1_000;
/** An attempt that stands still this many stalls long is given up even while its member delivers on other connections. */
const ownStalls = 4;

/** What a member delivers at least, bytes a second, before anything is known of it: 40 Mbit/s. */
const untriedThroughput = 5_000_000;

export interface AttemptListener {
  /** Every byte was handed to the sink. */
  onDelivered(attempt: Attempt): void;
  onFault(attempt: Attempt, fault: MemberFault): void;
  /** Bytes came after it was abandoned: nobody uses them. */
  onDrained(bytes: number): void;
  /** It was abandoned, and then did not end in time. @param stalled whether nothing came from its member on any connection. */
  onLost(attempt: Attempt, stalled: boolean): void;
}

export interface AttemptOptions {
  member: Member;
  imageSize: number;
  range: ByteRange;
  role: AttemptRole;
  /** Take no idle connection: the one in use stalled. */
  fresh: boolean;
  /** Stretches the deadlines: doubled each time that the only member left is asked once more. */
  patience: number;
  sink: AttemptSink;
  time: TimeSource;
  listener: AttemptListener;
}

export class Attempt {
  readonly member: Member;
  readonly range: ByteRange;
  readonly role: AttemptRole;
  readonly startedAt: number;
  /** Set by the fetch when it gave up waiting; progress clears it. */
  stalled = false;
  /** Bytes handed to the sink. */
  received = 0;
  readonly #options: AttemptOptions;
  readonly #overdueAt: number;
  /** What its member used to deliver when it started, and what it had delivered by then. */
  readonly #usual: { latencyMs: number; throughput: number };
  readonly #bytesBefore: number;
  #connection: Connection;
  #get: Get | undefined;
  #lastProgress: number;
  #sentAt: number;
  readonly #alone: boolean;
  #begun = false;
  #phase: 'live' | 'draining' | 'over' = 'live';
  /** Of the range, what the member still owes. */
  #due: number;
  #mayForgive = true;
  readonly #wasIdle: boolean;

  constructor(options: AttemptOptions) {
    const { member, range, role, time } = options;
    this.#options = options;
    this.member = member;
    this.range = range;
    this.role = role;
    this.startedAt = this.#lastProgress = this.#sentAt = time.now();
    this.#overdueAt = this.startedAt + options.patience * overdueAfter(member.usualMs(range.length));
    this.#usual = {
      latencyMs: member.speed.latencyMs,
      throughput: member.speed.measuredThroughput ?? untriedThroughput,
    };
    this.#bytesBefore = member.bytes;
    this.#due = range.length;
    this.#alone = member.inFlight === 0;
    member.requests++;
    member.inFlight++;
    member.speed.requestBegan(this.startedAt);
    member.queuedBytes += range.length;
    if (role === 'hedge') member.hedges++;
    this.#connection = options.fresh ? member.pool.takeFresh() : member.pool.take();
    this.#wasIdle = this.#connection.established;
  }

  /** Asks. The listener may hear of it before this returns. */
  start(): void {
    this.#request();
  }

  /** Whether a body byte has come. */
  get begun(): boolean {
    return this.#begun;
  }

  /** When this attempt is to be called stalled if nothing comes of it or its member until then. */
  get stalledAt(): number {
    return Math.min(this.memberStalledAt, this.#lastProgress + ownStalls * this.#stallMs, this.#overdueAt);
  }

  /** When the member as a whole, not only this attempt, is to be called stalled. */
  get memberStalledAt(): number {
    return Math.max(this.#lastProgress, this.member.lastProgress) + this.#stallMs;
  }

  /** Whether nothing has come from its member, on any connection, since this attempt began. */
  get isMemberSilent(): boolean {
    return this.member.lastProgress < this.startedAt;
  }

  /**
   * When a hedge is due: while nothing has come, by the member's usual time to first byte; then, when all that the member has
   * delivered to us meanwhile, and what is missing here, would usually have taken far less time.
   */
  get hedgeAt(): number {
    const { window } = this.member.speed;
    if (!this.#begun) return this.startedAt + hedgeAfter(window);
    const { latencyMs, throughput } = this.#usual;
    const bytes = this.member.bytes - this.#bytesBefore + this.#due;
    return this.startedAt + crawlsAfter(window, latencyMs + (bytes / throughput) * 1000);
  }

  get #stallMs(): number {
    return this.#options.patience * stallAfter(this.member.speed.window);
  }

  /**
   * Nobody needs it any more: its sink is closed, its books are kept on. Before its first byte it is listened to until that comes, or
   * until the member counts as stalled: else a member that was always overtaken would never be known for what it is. Then the rest
   * is read when that is cheap, else it hangs up.
   */
  abandon(): void {
    if (this.#phase !== 'live') return;
    this.#options.sink.close();
    if (this.stalled || (this.#begun && this.#due > drainBytes)) {
      this.#hangUp();
    } else {
      this.#phase = 'draining';
      this.#watchDrain(this.#options.time.now() + drainMs);
    }
  }

  /** Silent from here on, its sink and its connection closed. */
  kill(): void {
    if (this.#phase === 'live') this.#options.sink.close();
    this.#hangUp();
  }

  #watchDrain(until: number): void {
    const { time, listener } = this.#options;
    const deadline = () => (this.#begun ? until : this.stalledAt);
    afterPoll(time, Math.max(0, deadline() - time.now()), () => {
      if (this.#phase === 'over') return;
      const now = time.now();
      if (now < deadline()) {
        this.#watchDrain(until);
        return;
      }
      this.#hangUp();
      listener.onLost(this, now >= this.memberStalledAt);
    });
  }

  #request(): void {
    const { member, imageSize, time } = this.#options;
    const connection = this.#connection;
    const asked = requestRange(
      connection,
      { url: member.file, range: this.range, imageSize, pin: member.pin, verified: member.verified },
      {
        onStep: () => this.#stepped(),
        onSent: () => {
          this.#sentAt = time.now();
          this.#stepped();
        },
        onHead: () => this.#progress(),
        onData: (bytes) => this.#data(bytes),
        onEnd: () => this.#end(),
        onFault: (fault) => this.#fault(fault),
      },
    );
    // Unless it failed at once, and another was asked instead.
    if (connection === this.#connection) this.#get = asked;
  }

  /** A step of the connection. The kernel of a machine whose server hangs takes connections and requests still, so it says nothing of the member's other attempts. */
  #stepped(): void {
    this.#lastProgress = this.#options.time.now();
    this.stalled = false;
  }

  #progress(): void {
    this.#stepped();
    this.member.lastProgress = this.#lastProgress;
  }

  #data(bytes: Uint8Array): void {
    const { member, time, sink, listener } = this.#options;
    this.#progress();
    member.bytes += bytes.length;
    const now = time.now();
    if (!this.#begun) member.speed.recordLatency(now - this.#sentAt, now, this.#alone);
    this.#begun = true;
    member.speed.bytesReceived(bytes.length, now);
    member.queuedBytes -= bytes.length;
    this.#due -= bytes.length;
    if (this.#phase === 'draining' && this.#due > drainBytes) time.after(0, () => this.#hangUp());
    if (this.#phase !== 'live') {
      listener.onDrained(bytes.length);
      return;
    }
    this.received += bytes.length;
    sink.write(bytes);
  }

  #end(): void {
    const { member, sink, listener } = this.#options;
    const wasLive = this.#phase === 'live';
    this.#settle();
    member.pool.giveBack(this.#connection);
    if (!wasLive) return;
    sink.close();
    listener.onDelivered(this);
  }

  #fault(fault: MemberFault): void {
    const { member, sink, listener } = this.#options;
    member.pool.discard(this.#connection);
    if (this.#mayForgive && this.#isForgivable(fault) && this.#phase === 'live' && !this.begun) {
      this.#mayForgive = false;
      this.#connection = member.pool.takeFresh();
      this.#request();
      return;
    }
    const was = this.#phase;
    this.#settle();
    if (was === 'live') sink.close();
    // What is thrown when all has come, at the sink or by who is told, is a defect that must not be lost.
    if (was === 'live' || (was === 'over' && fault.kind === 'defect')) listener.onFault(this, fault);
  }

  #isForgivable({ kind }: MemberFault): boolean {
    return (kind === 'reset' && this.#wasIdle) || (kind === 'busy' && this.member.inFlight === 1);
  }

  #hangUp(): void {
    if (this.#phase === 'over') return;
    this.#get?.abort();
    this.#settle();
    this.member.pool.discard(this.#connection);
  }

  #settle(): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.member.inFlight--;
    this.member.speed.requestEnded(this.#options.time.now());
    this.member.queuedBytes -= this.#due;
    this.#due = 0;
  }
}
