/**
 * Brings chunks to their readers. Native says which chunks readers wait for; the loader puts them together into spans, has the
 * members fetch them, and reads ahead. Policy only: bytes pass through SpanTarget, order of eviction is EvictionOrder's, guesses
 * are ReadAhead's; what else is got in advance (a trace, the whole image) asks through `prefetch`.
 */
import pLimit from 'p-limit';
import { errorCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { TimeSource } from '../base/time-source.ts';
import { type ChunkIndex, chunkIndex, type ImageGeometry } from '../image/geometry.ts';
import type { Collective, FetchPriority, SpanFetch } from '../members/contract.ts';
import { type AdoptedChunks, type Store, StoreEvent } from '../native/binding.ts';
import { ChunkSet } from './chunk-set.ts';
import { EvictionOrder } from './eviction-order.ts';
import { type Access, type Foreseen, type Means, ReadAhead } from './read-ahead.ts';
import { Settling } from './settling.ts';
import { SpanTarget, type SpanTargetParts } from './span-target.ts';
import { chunksOf, coalesce, cut, type Span } from './spans.ts';

const EIO = 5;
const MiB = 1024 * 1024;

/**
 * Bytes of a demand span: small enough that one 1 MiB read of the kernel is spread over the members, large enough that the
 * cost of a request does not show. bench/cold-sequential.ts.
 */
const demandSpanBytes = MiB / 4;
/** Bytes of a prefetch span. bench/cold-sequential.ts. */
const prefetchSpanBytes = MiB / 2;
/** From here on waiting is dearer than bytes, in ms: what a prefetch span takes on 1 Gbit/s. */
const farMs = 4;
/** Got on credit from far members: the share of what could come in a round trip. bench/boot.ts. */
const creditShare = 1 / 4;
/** The widest read-ahead window, whatever the members would deliver. */
const widestWindowBytes = 32 * MiB;
/** So many pieces that nobody reads are remembered. */
const mostMarks = 4096;
/** Chunks taken in one go from native; more come in the next round of the same loop. */
const eventBatch = 256;

export interface ChunkLoaderParts {
  store: Store;
  geometry: ImageGeometry;
  /** Slots of the arena. */
  slots: number;
  collective: Collective;
  log: Log;
  time: TimeSource;
  /** The FUSE session is over; `errno` 0 when it was unmounted. */
  onSessionEnded: (errno: number) => void;
}

/** A span on its way. */
interface Loading {
  target: SpanTarget;
  fetch: SpanFetch;
  /** It was got in advance, and by now a reader waits for it. */
  promoted: boolean;
}

export class ChunkLoader {
  /** The chunks that are known to be in the RAM file. */
  readonly inRam: ChunkSet;
  /** Whether sequential readers are read ahead of: not while somebody knows better what they will read. */
  readsAhead: () => boolean = () => true;
  readonly #parts: ChunkLoaderParts;
  readonly #eviction: EvictionOrder;
  readonly #readAhead: ReadAhead;
  readonly #targetParts: SpanTargetParts;
  readonly #settling = new Settling();
  /** Who brings a chunk that is in flight. */
  readonly #loading = new Map<ChunkIndex, Loading>();
  readonly #prefetchLimit = pLimit(1);
  /** First chunks of pieces that were got in advance and not read yet. */
  readonly #wholePieces = new Set<ChunkIndex>();
  readonly #events = new Int32Array(3 * eventBatch);
  readonly #demandSpan: number;
  readonly #prefetchSpan: number;
  /** Slots that the oldest waiting reader lacks. */
  #slotsWanted = 0;
  /** Fetches under way that were begun because a reader waits. */
  #demands = 0;
  /** Fetches under way for which a reader has begun to wait. */
  #promoted = 0;
  #lastDemandAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(parts: ChunkLoaderParts) {
    const { store, geometry, slots } = parts;
    this.#parts = parts;
    this.inRam = new ChunkSet(geometry.chunkCount);
    this.#demandSpan = Math.max(1, demandSpanBytes / geometry.chunkSize);
    this.#prefetchSpan = Math.max(1, prefetchSpanBytes / geometry.chunkSize);
    this.#eviction = new EvictionOrder(store, slots);
    this.#readAhead = new ReadAhead({
      chunkCount: geometry.chunkCount,
      slack: 2 * (MiB / geometry.chunkSize),
      streams: 16,
      batch: this.#prefetchSpan,
    });
    this.#targetParts = {
      store,
      geometry,
      settling: this.#settling,
      makeRoom: (count) => this.#eviction.makeRoom(count),
    };
  }

  /** What lies in slots and in the RAM file already, before anything is read. */
  adopt({ inSlots, inRam }: AdoptedChunks): void {
    for (const chunk of inSlots) this.#eviction.published(chunkIndex(chunk));
    for (const chunk of inRam) this.inRam.add(chunkIndex(chunk));
  }

  /** Moves a chunk from its slot into the RAM file. False when it is in none, or somebody reads it at this moment. */
  moveToRam(chunk: ChunkIndex): boolean {
    if (!this.#parts.store.moveToRam(chunk)) return false;
    this.inRam.add(chunk);
    this.#eviction.forget(chunk);
    return true;
  }

  /** Handles all that native has to say. To be called whenever it says that there is something. */
  drain(): void {
    const demanded: { chunk: ChunkIndex; slot: number }[] = [];
    const accesses: Access[] = [];
    for (let count = this.#take(); count > 0; count = this.#take()) {
      for (let index = 0; index < 3 * count; index += 3) {
        const [kind, a = 0, b = 0] = this.#events.subarray(index, index + 3);
        const chunk = chunkIndex(a);
        switch (kind) {
          case StoreEvent.granted:
            demanded.push({ chunk, slot: b });
            break;
          case StoreEvent.promoted:
            this.#promote(this.#loading.get(chunk));
            this.#lastDemandAt = this.#parts.time.now();
            break;
          case StoreEvent.touched:
            accesses.push({ first: chunk, count: this.#takeMark(chunk), foreseen: this.#foreseen(chunk) });
            break;
          case StoreEvent.published:
            this.#eviction.published(chunk);
            this.#arrived(chunk, b);
            break;
          case StoreEvent.kept:
            this.inRam.add(chunk);
            this.#arrived(chunk, b);
            break;
          case StoreEvent.surplus:
            this.#settling.settled(chunk, b);
            break;
          case StoreEvent.rejected:
            this.#rejected(chunk, b);
            break;
          case StoreEvent.slotsWanted:
            this.#slotsWanted = a;
            break;
          case StoreEvent.sessionEnded:
            this.#parts.onSessionEnded(a);
            break;
        }
      }
    }
    if (this.#slotsWanted > 0) this.#slotsWanted -= this.#eviction.makeRoom(this.#slotsWanted);
    accesses.push(...this.#demand(demanded).map((span) => ({ ...span, foreseen: 'not' as const })));
    accesses.sort((a, b) => a.first - b.first);
    for (const access of accesses) this.#accessed(access);
  }

  /** Whether a reader waits for something that nobody had asked for before. */
  get demanding(): boolean {
    return this.#demands > 0;
  }

  /** For how long, in ms, no reader has had to wait for the members; 0 while one has. */
  get quietMs(): number {
    return this.demanding || this.#promoted > 0 ? 0 : this.#parts.time.now() - this.#lastDemandAt;
  }

  /**
   * Gets the chunks of a span that are absent, as far as there is room. Resolves when they have come or have been given up; what is under
   * way already is not waited for.
   */
  async prefetch(span: Span): Promise<void> {
    if (this.#closed) return;
    const { store } = this.#parts;
    const slotOf = new Map<ChunkIndex, number>();
    for (const chunk of chunksOf(span)) {
      let slot = store.grant(chunk);
      if (slot === -1 && this.#slotsWanted === 0 && this.#eviction.makeRoom(1) > 0) slot = store.grant(chunk);
      if (slot === -1) break;
      if (slot >= 0) slotOf.set(chunk, slot);
    }
    const spans = coalesce([...slotOf.keys()], span.count);
    await Promise.all(spans.map((piece) => this.#start(piece, slotOf, 'prefetch')));
  }

  /** Leaves no more than `count` chunks in slots. */
  shrink(count: number): void {
    this.#eviction.shrinkTo(count);
  }

  /** Stops prefetching and forgets what is under way; native's readers are the caller's business. */
  close(): void {
    this.#closed = true;
    this.#prefetchLimit.clearQueue();
    for (const { fetch } of new Set(this.#loading.values())) fetch.cancel();
  }

  #take(): number {
    return this.#parts.store.takeEvents(this.#events);
  }

  /** Starts fetching chunks that readers wait for. Returns the runs of chunks that were asked for. */
  #demand(demanded: readonly { chunk: ChunkIndex; slot: number }[]): Span[] {
    const slotOf = new Map(demanded.map(({ chunk, slot }) => [chunk, slot]));
    const chunks = [...slotOf.keys()];
    if (chunks.length > 0) this.#lastDemandAt = this.#parts.time.now();
    for (const span of coalesce(chunks, this.#demandSpan)) void this.#start(span, slotOf, 'demand');
    return coalesce(chunks, chunks.length);
  }

  #start(span: Span, slotOf: ReadonlyMap<ChunkIndex, number>, priority: FetchPriority): Promise<void> {
    const slots: number[] = [];
    for (let chunk: number = span.first; chunk < span.first + span.count; chunk++) {
      const slot = slotOf.get(chunkIndex(chunk));
      if (slot === undefined) throw new Error(`broken invariant: chunk ${chunk} was granted without a slot`);
      slots.push(slot);
    }
    return this.#fetch(new SpanTarget(this.#targetParts, span, slots), priority);
  }

  async #fetch(target: SpanTarget, priority: FetchPriority): Promise<void> {
    const range = target.missing();
    if (range === undefined) return;
    const chunks = target.missingChunks;
    const fetch = this.#parts.collective.fetch(range, priority, target);
    const loading: Loading = { target, fetch, promoted: false };
    for (const chunk of chunks) this.#loading.set(chunk, loading);
    if (priority === 'demand') this.#demands++;
    try {
      await loading.fetch.done;
    } catch (error) {
      await this.#failed(target, priority, error);
    } finally {
      if (priority === 'demand') this.#demands--;
      if (loading.promoted) this.#promoted--;
      for (const chunk of chunks) if (this.#loading.get(chunk) === loading) this.#loading.delete(chunk);
    }
  }

  #promote(loading: Loading | undefined): void {
    if (loading === undefined) return;
    if (!loading.promoted) this.#promoted++;
    loading.promoted = true;
    loading.fetch.promote();
  }

  /** A prefetch that nobody waits for is given up; one that somebody waits for goes on as demand; demand's failure is an I/O error. */
  async #failed(target: SpanTarget, priority: FetchPriority, error: unknown): Promise<void> {
    const { store, log } = this.#parts;
    for (const chunk of target.missingChunks) {
      if (priority === 'prefetch' && !store.release(chunk)) continue;
      if (priority === 'demand') store.fail(chunk, EIO);
      target.forget(chunk);
    }
    if (priority === 'demand') log.debug('reads failed', { code: errorCode(error) });
    else if (!this.#closed) await this.#fetch(target, 'demand');
  }

  /** The chunk is readable. */
  #arrived(chunk: ChunkIndex, slot: number): void {
    this.#settling.settled(chunk, slot);
    const loading = this.#loading.get(chunk);
    loading?.target.published(chunk);
    loading?.fetch.progressed();
  }

  /** A chunk that was failed or released meanwhile has nobody who loads it any more, or somebody else, whose slot this is not. */
  #rejected(chunk: ChunkIndex, slot: number): void {
    const verdict = this.#settling.settled(chunk, slot);
    const loading = this.#loading.get(chunk);
    if (loading === undefined) this.#parts.store.drop(slot);
    else loading.target.rejected(chunk, slot, verdict);
  }

  #accessed(access: Access): void {
    const window = this.#readAhead.accessed(access, this.#means());
    if (window === undefined) return;
    this.#prefetchLimit.concurrency = Math.max(1, this.#parts.collective.suggestedPrefetchSpans);
    for (const piece of cut(window, this.#prefetchSpan)) {
      void this.#prefetchLimit(() => this.#readAheadOf(piece));
    }
  }

  /** Its chunks tell when a reader wants them: so it is known what was of use. Of a whole piece the first one tells for all. */
  async #readAheadOf(piece: Span): Promise<void> {
    const there = this.prefetch(piece);
    if (piece.count === this.#prefetchSpan) {
      if (this.#wholePieces.size >= mostMarks) this.#wholePieces.clear();
      this.#wholePieces.add(piece.first);
      this.#parts.store.mark(piece.first);
    } else {
      for (const chunk of chunksOf(piece)) this.#parts.store.mark(chunk);
    }
    await there;
  }

  #foreseen(chunk: ChunkIndex): Foreseen {
    return this.#loading.has(chunk) ? 'awaited' : 'there';
  }

  /** How many chunks the mark of this one stood for. */
  #takeMark(chunk: ChunkIndex): number {
    return this.#wholePieces.delete(chunk) ? this.#prefetchSpan : 1;
  }

  #means(): Means {
    if (this.#closed || !this.readsAhead()) return { widest: 0, onCredit: 0 };
    const { collective, geometry } = this.#parts;
    const credit = collective.roundTripMs < farMs ? 0 : creditShare * collective.bytesInRoundTrip;
    return { widest: this.#widestWindow(), onCredit: credit / geometry.chunkSize };
  }

  /** Two rounds of what the members can have in flight, and never so much that read-ahead evicts its own chunks unread. */
  #widestWindow(): number {
    const { collective, geometry, slots } = this.#parts;
    const useful = 2 * collective.suggestedPrefetchSpans * this.#prefetchSpan;
    return Math.floor(Math.min(useful, widestWindowBytes / geometry.chunkSize, slots / 4));
  }
}
