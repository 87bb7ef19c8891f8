/**
 * Replays a trace: gets what an earlier boot touched, in the order in which it did, ahead of the readers and yielding to them. A reader
 * that waits for what nobody has asked for yet comes first; one that waits for what the replay is getting is served by it.
 *
 * A wrong or hostile trace costs bandwidth, no more than `window` chunks beyond what readers then really read.
 */
import type { TimeSource } from '../base/time-source.ts';
import { type ChunkIndex, chunkIndex } from '../image/geometry.ts';
import type { ChunkLoader } from './chunk-loader.ts';
import { coalesce, type Span } from './spans.ts';

export interface TraceReplayParts {
  /** Chunks in the order of their first touch, each once. */
  chunks: Uint32Array;
  loader: Pick<ChunkLoader, 'demanding' | 'prefetch'>;
  /** Requests that may be under way at once; 0 while no member is usable. */
  spans: () => number;
  /** Chunks that came in advance and were not read yet. */
  unread: () => number;
  /** Upper bound of `unread`, as it is now. */
  window: () => number;
  /** Chunks of one request at most. */
  longestSpan: number;
  time: TimeSource;
}

/**
 * So many chunks of the trace are put together into spans at a time: neighbours that were touched a little apart come in one request, and
 * nothing comes much later than its turn. bench/boot.ts.
 */
const batch = 64;
/** How often the replay looks whether it may go on, in ms. */
const lookAgainMs = 2;
/** The same while it is far ahead of the readers. */
const farMs = 20;

export class TraceReplay {
  readonly #parts: TraceReplayParts;
  readonly #underWay = new Set<Promise<void>>();
  #asked = 0;
  #running = false;
  #stopped = false;
  /** Ends a rest before its time. */
  #wake = () => {};

  constructor(parts: TraceReplayParts) {
    this.#parts = parts;
  }

  /** Chunks of the trace that have been asked for. */
  get asked(): number {
    return this.#asked;
  }

  /** Whether it gets things now, or would as soon as the readers let it; not while it waits for them to read what has come. */
  get active(): boolean {
    return this.#running && this.#parts.unread() < this.#parts.window();
  }

  /** Whether something of the trace has not been asked for, or has not come. */
  get pending(): boolean {
    return this.#running && !this.#stopped;
  }

  /** Resolves when all of the trace has been asked for and has come, or after `stop`. */
  async run(): Promise<void> {
    this.#running = true;
    await this.#askForAll();
    await Promise.all(this.#underWay);
    this.#running = false;
  }

  stop(): void {
    this.#stopped = true;
  }

  async #askForAll(): Promise<void> {
    const { chunks, loader, longestSpan } = this.#parts;
    for (let first = 0; first < chunks.length && !this.#stopped; first += batch) {
      for (const span of inOrder(chunks.subarray(first, first + batch), longestSpan)) {
        await this.#turn();
        if (this.#stopped) break;
        this.#asked += span.count;
        const got = loader.prefetch(span).then(() => {
          this.#underWay.delete(got);
          this.#wake();
        });
        this.#underWay.add(got);
      }
    }
  }

  async #turn(): Promise<void> {
    const { loader, spans, unread, window } = this.#parts;
    while (!this.#stopped) {
      const far = unread() >= window();
      if (!far && !loader.demanding && this.#underWay.size < spans()) return;
      await this.#rest(far ? farMs : lookAgainMs);
    }
  }

  /** Until something changes, `ms` at most. */
  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.time.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}

/** Spans of neighbouring chunks, those with the earliest chunk first. */
function inOrder(chunks: Uint32Array, longest: number): Span[] {
  const turn = new Map([...chunks].map((chunk, index) => [chunk, index]));
  const earliest = ({ first, count }: Span) =>
    Math.min(...Array.from({ length: count }, (_, index) => turn.get(first + index) ?? chunks.length));
  const numbers: ChunkIndex[] = [...chunks].map(chunkIndex);
  return coalesce(numbers, longest).sort((a, b) => earliest(a) - earliest(b));
}
