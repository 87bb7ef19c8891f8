/**
 * What a member has delivered lately, and what that says about its next span. Latency is the time from a sent request to
 * its first body byte; throughput is what the member as a whole delivers, over all its connections.
 */
import { BusyRate } from './busy-rate.ts';
import { Slowness } from './slowness.ts';

/** The last `capacity` samples of a time, for its percentiles. */
export class LatencyWindow {
  readonly #samples: Float64Array;
  #count = 0;
  #next = 0;
  #sorted: Float64Array | undefined;

  constructor(capacity = 128) {
    this.#samples = new Float64Array(capacity);
  }

  record(ms: number): void {
    this.#samples[this.#next] = ms;
    this.#next = (this.#next + 1) % this.#samples.length;
    this.#count = Math.min(this.#count + 1, this.#samples.length);
    this.#sorted = undefined;
  }

  /** The newest sample; undefined without samples. */
  get newest(): number | undefined {
    if (this.#count === 0) return undefined;
    return this.#samples[(this.#next + this.#samples.length - 1) % this.#samples.length];
  }

  /** Oldest first. */
  get samples(): number[] {
    const ring = [...this.#samples.subarray(0, this.#count)];
    const oldest = this.#count < this.#samples.length ? 0 : this.#next;
    return [...ring.slice(oldest), ...ring.slice(0, oldest)];
  }

  /** The smallest sample that at least the share `q` (0 to 1) of the samples do not exceed; undefined without samples. */
  quantile(q: number): number | undefined {
    this.#sorted ??= this.#samples.slice(0, this.#count).sort();
    return this.#sorted[Math.max(0, Math.ceil(q * this.#count) - 1)];
  }
}

/** Weight of a new sample: the last dozen or so decide. */
const newest = 0.2;
/** Before the first sample: a LAN at 1 Gbit/s, so that an untried member is tried. */
const optimisticLatencyMs = 1;
const optimisticThroughput = 125_000_000;
/** From this age on an estimate is trusted less, so that a member that was ten times slower once is tried again after 8 s. */
const freshMs = 1_000;
const halvingMs = 2_000;
/**
 * So little that the worst that is ever believed of a member (below) outlives no half minute, however quick the others are; not nothing, so that
 * what is known of the members still tells them apart when nobody has read for long.
 */
const leastTrust = 2 ** -14;
/** A member is believed to deliver this at least, in bytes a second: what is expected to take for ever is never tried again. */
const leastThroughput = 16_384;
/** A member that is late again and again is not believed to be later than this. */
const latestMs = 10_000;

export interface SpeedMemory {
  latencyMs?: number | undefined;
  throughput?: number | undefined;
  latencies: readonly number[];
}

/** A member's running estimate of latency (ms) and throughput (bytes a second). */
export class SpeedEstimate {
  readonly window = new LatencyWindow();
  readonly slowness = new Slowness();
  readonly #busy = new BusyRate();
  #latencyMs: number | undefined;
  #throughput: number | undefined;
  #sampledAt = Number.NEGATIVE_INFINITY;
  /** So long a request has waited at least; 0 once an answer has told how long it takes. */
  #lateMs = 0;
  #lateAt = Number.NEGATIVE_INFINITY;

  /** Of a member that has nothing else to do: waiting behind its other answers is not counted, the queue is. */
  get latencyMs(): number {
    return Math.max(this.#latencyMs ?? optimisticLatencyMs, this.#lateMs);
  }

  /** Of the quickest answer of late: in this one there is no queue, ours or others'. */
  get roundTripMs(): number {
    return this.slowness.usual ?? this.latencyMs;
  }

  get throughput(): number {
    return this.#throughput ?? optimisticThroughput;
  }

  /** Undefined before the first sample. */
  get measuredThroughput(): number | undefined {
    return this.#throughput;
  }

  /** @param alone whether the member had no other request under way when this one was sent. */
  recordLatency(ms: number, now: number, alone: boolean): void {
    this.window.record(ms);
    this.#lateMs = alone ? 0 : Math.min(this.#lateMs, ms);
    if (!alone) return;
    this.slowness.record(ms, now);
    this.#latencyMs = mix(this.#latencyMs, ms);
    this.#sampledAt = now;
  }

  /**
   * A request has waited `ms` for its first byte, and is late. What is hedged is mostly given up before it has a sample: without this a
   * member that has become slow would be asked again and again as if it were quick. Counts double each time until an answer tells more; what had been
   * sent before the last such request was found late waits for the same reason, and is not another time.
   */
  late(ms: number, now: number): void {
    const again = now - ms >= this.#lateAt;
    this.#lateMs = Math.min(Math.max((again ? 2 : 1) * this.#lateMs, ms), latestMs);
    this.#lateAt = now;
    this.#sampledAt = now;
  }

  /** An answer has begun and takes far too long: what it delivers now counts at once, not by and by. */
  crawls(now: number): void {
    const rate = this.#busy.soFar(now);
    if (rate === undefined) return;
    this.#throughput = Math.max(Math.min(this.throughput, rate), leastThroughput);
    this.#sampledAt = now;
  }

  /** What a successor begins with. */
  get memory(): SpeedMemory {
    return { latencyMs: this.#latencyMs, throughput: this.#throughput, latencies: this.window.samples };
  }

  recall({ latencyMs, throughput, latencies }: SpeedMemory, now: number): void {
    this.#latencyMs = latencyMs;
    this.#throughput = throughput === undefined ? undefined : Math.max(throughput, leastThroughput);
    this.#sampledAt = now;
    for (const ms of latencies) this.window.record(ms);
  }

  requestBegan(now: number): void {
    this.#busy.began(now, this.latencyMs);
  }

  bytesReceived(bytes: number, now: number): void {
    const rate = this.#busy.received(bytes, now);
    if (rate === undefined) return;
    this.#throughput = Math.max(mix(this.#throughput, rate), leastThroughput);
    this.#sampledAt = now;
  }

  requestEnded(now: number): void {
    this.#busy.ended(now);
  }

  /**
   * The member was out and is back: how slowly it delivered while it failed would keep it from its share for long. It counts as untried but
   * for the latency, which the probe that found it well has just measured; its deadlines stay.
   */
  restart(now: number): void {
    this.#throughput = undefined;
    this.#latencyMs = this.window.newest;
    this.#lateMs = 0;
    this.#sampledAt = now;
    this.slowness.restart();
    this.#busy.forget(now);
  }

  /** ms until `bytes` more come when `queued` bytes are still due from the member, as it used to be. */
  usualMs(bytes: number, queued: number): number {
    return this.latencyMs + ((queued + bytes) / this.throughput) * 1000;
  }

  /** For the choice: the same, hoping for the better the longer that was ago. */
  expectedMs(bytes: number, queued: number, now: number): number {
    return this.usualMs(bytes, queued) * this.#trust(now);
  }

  #trust(now: number): number {
    const age = now - this.#sampledAt - freshMs;
    if (age <= 0 || !Number.isFinite(age)) return 1;
    return Math.max(2 ** (-age / halvingMs), leastTrust);
  }
}

function mix(average: number | undefined, sample: number): number {
  return average === undefined ? sample : average + newest * (sample - average);
}
