/**
 * One member as the collective sees it: where it is, its connections, what it delivers, how it is, and what was counted.
 */
import type { SecureContext } from 'node:tls';
import type { ByteRange } from '../base/byte-range.ts';
import type { TimeSource } from '../base/time-source.ts';
import { Addresses } from './addresses.ts';
import { Concurrency } from './concurrency.ts';
import { ConnectionPool, Connector } from './connections.ts';
import type { MemberState, MemberStatus } from './contract.ts';
import type { FaultKind } from './errors.ts';
import { Health } from './health.ts';
import { SpeedEstimate } from './latency.ts';
import type { MemberMemory } from './member-memory.ts';
import { type MemberUrl, urlByDigest } from './member-url.ts';
import type { FilePin } from './range-request.ts';
import type { Candidate } from './selection.ts';

/** What the score of the status is for. */
const scoreBytes = 65_536;

export class Member implements Candidate {
  /** As the user wrote it. */
  readonly url: MemberUrl;
  /** Where the image may lie on it: under its digest, if that is known, and as the user wrote it. The first that is right is used. */
  readonly files: readonly [MemberUrl, ...MemberUrl[]];
  /** Which of them it was last identified by. */
  file: MemberUrl;
  readonly addresses: Addresses;
  readonly pool: ConnectionPool;
  readonly speed = new SpeedEstimate();
  readonly health: Health;
  readonly concurrency = new Concurrency();
  /** Whether a digest checks what it serves. */
  readonly verified: boolean;
  readonly #time: TimeSource;
  /** The ETag and Last-Modified that `file` was last identified with. */
  pin: FilePin | undefined;
  /** What it served wrongly: must be right before it is used again. */
  corruptRange: ByteRange | undefined;
  /** So many probes in a row were given up though they might have been answered later. */
  probesTimedOut = 0;
  /** When any byte of an answer last came from it. Monotonic ms. */
  lastProgress = 0;
  /** Bytes asked of it that have not come yet. */
  queuedBytes = 0;
  inFlight = 0;
  requests = 0;
  bytes = 0;
  hedges = 0;
  hedgesWon = 0;
  readonly errors = new Map<FaultKind, number>();

  /** @param digest of the image, 64 hexadecimal digits. */
  constructor(url: MemberUrl, time: TimeSource, secureContext: SecureContext | undefined, digest?: string) {
    const byDigest = digest === undefined ? undefined : urlByDigest(url, digest);
    this.url = url;
    this.files = byDigest === undefined ? [url] : [byDigest, url];
    this.file = url;
    this.verified = digest !== undefined;
    this.#time = time;
    this.addresses = new Addresses(url, time);
    this.pool = new ConnectionPool(url, new Connector(url, this.addresses, secureContext));
    this.health = new Health(time.now());
  }

  get state(): MemberState {
    return this.health.state;
  }

  get hasRoom(): boolean {
    return this.pool.hasRoom && this.inFlight < this.concurrency.limit(this.#time.now());
  }

  usualMs(bytes: number): number {
    return this.speed.usualMs(bytes, this.queuedBytes);
  }

  expectedMs(bytes: number): number {
    return this.speed.expectedMs(bytes, this.queuedBytes, this.#time.now());
  }

  count(kind: FaultKind): void {
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
  }

  /** What a successor begins with. */
  get memory(): MemberMemory {
    const { state, reason } = this.health;
    const { latencyMs, throughput, latencies } = this.speed.memory;
    return {
      url: this.url.given,
      file: this.file.fileName,
      state,
      reason,
      addresses: this.addresses.known.slice(0, 64),
      latencies: [...latencies],
      ...(this.pin && { pin: this.pin }),
      ...(latencyMs !== undefined && { latencyMs }),
      ...(throughput !== undefined && { throughput }),
    };
  }

  /** Goes on as a process before us knew it. */
  recall({ state, reason, addresses, file, pin, ...speed }: MemberMemory): void {
    const now = this.#time.now();
    this.health.recall(state, reason, now);
    this.speed.recall(speed, now);
    this.addresses.recall(addresses);
    this.file = this.files.find(({ fileName }) => fileName === file) ?? this.url;
    this.pin = pin && { etag: pin.etag, lastModified: pin.lastModified };
  }

  status(): MemberStatus {
    return {
      url: this.url.text,
      file: this.file.fileName,
      state: this.health.state,
      reason: this.health.reason,
      sinceMs: this.#time.now() - this.health.since,
      scoreMs: this.expectedMs(scoreBytes),
      latencyP50Ms: this.speed.window.quantile(0.5),
      latencyP99Ms: this.speed.window.quantile(0.99),
      throughput: this.speed.throughput,
      inFlight: this.inFlight,
      connections: this.pool.size,
      requests: this.requests,
      bytes: this.bytes,
      errors: Object.fromEntries(this.errors),
      hedges: this.hedges,
      hedgesWon: this.hedgesWon,
    };
  }
}
