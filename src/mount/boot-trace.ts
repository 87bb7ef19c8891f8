/**
 * The trace of a boot: records the order of first touches for the next one, and replays an earlier one's. Only with a digest, because
 * a trace belongs to one image.
 */
import { readFileSync } from 'node:fs';
import { describeError, TetherfsError, UsageError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { TimeSource } from '../base/time-source.ts';
import { type ChunkLoader, TraceReplay } from '../cache/index.ts';
import { formatTrace, largestTraceSize, parseTrace, traceChunks, traceSuffix } from '../image/trace.ts';
import type { Store } from '../native/binding.ts';
import type { OpenedImage } from './open-image.ts';

export interface BootTraceParts {
  store: Store;
  image: OpenedImage;
  loader: ChunkLoader;
  /** Chunks got in advance and not read, at most, as things are now. */
  window: () => number;
  /** First touches that a daemon before us recorded. */
  earlier: readonly number[];
  log: Log;
  time: TimeSource;
}

/** Touches later than this are no boot's any more, in ms: recording ends, and so does a replay that readers have not caught up with. */
const bootMs = 10 * 60_000;
/** Bytes of one request. bench/boot.ts. */
const longestSpanBytes = 512 * 1024;

/** Chunks that a trace holds at most. */
export const traceLimit = 65_536;

export class BootTrace {
  readonly #parts: BootTraceParts;
  readonly #cancelEnd: () => void;
  #recording: boolean;
  #source: string | undefined;
  #total = 0;
  #replay: TraceReplay | undefined;

  constructor(parts: BootTraceParts) {
    this.#parts = parts;
    this.#recording = parts.image.digest !== undefined;
    this.#cancelEnd = parts.time.after(bootMs, () => this.#end());
  }

  /** Begins to replay: the file, or, without one, what the members offer. @throws UsageError when the file is none of this image. */
  begin(file: string | undefined): void {
    const { digest } = this.#parts.image;
    if (file !== undefined) this.#start(readTraceFile(file, this.#parts.image), file);
    else if (digest !== undefined) void this.#findAndStart();
  }

  /** The text of a trace file. @throws TetherfsError NO_TRACE without a digest. */
  text(): string {
    const { image } = this.#parts;
    if (image.digest === undefined) {
      throw new TetherfsError('NO_TRACE', 'no trace is recorded: it belongs to an image, so mount with --digest');
    }
    const { imageSize, chunkSize } = image.geometry;
    return formatTrace({ digest: image.digest, imageSize, chunkSize, chunks: this.chunks });
  }

  /** Recorded so far, in order. */
  get chunks(): Uint32Array {
    const { store, earlier } = this.#parts;
    return earlier.length === 0
      ? store.trace()
      : Uint32Array.from(new Set([...earlier, ...store.trace()])).subarray(0, traceLimit);
  }

  status(): { recording: boolean; chunks: number; source?: string; replayTotal: number; replayed: number } {
    return {
      recording: this.#recording,
      chunks: this.#parts.earlier.length === 0 ? this.#parts.store.stats().chunksTraced : this.chunks.length,
      ...(this.#source !== undefined && { source: this.#source }),
      replayTotal: this.#total,
      replayed: this.#replay?.asked ?? 0,
    };
  }

  /** Whether a trace is being replayed. */
  get replaying(): boolean {
    return this.#replay?.pending ?? false;
  }

  close(): void {
    this.#cancelEnd();
    this.#replay?.stop();
  }

  async #findAndStart(): Promise<void> {
    const { image, log } = this.#parts;
    try {
      const found = await image.collective.sidecar({
        suffix: traceSuffix,
        maxBytes: largestTraceSize,
        accept: (bytes) => chunksOf(bytes, image),
      });
      if ('accepted' in found) this.#start(found.accepted, 'the members');
      else log.debug('no member offers a trace of the boot', { why: [...found.refusals.values()].join('; ') });
    } catch (error) {
      log.warn('cannot replay a trace of the boot', { error: describeError(error) });
    }
  }

  #start(chunks: Uint32Array, source: string): void {
    const { store, image, loader, window, log, time } = this.#parts;
    const { chunksPrefetched, chunksPrefetchedRead } = store.stats();
    const unreadBefore = chunksPrefetched - chunksPrefetchedRead;
    const unread = () => {
      const now = store.stats();
      return now.chunksPrefetched - now.chunksPrefetchedRead - unreadBefore;
    };
    this.#source = source;
    this.#total = chunks.length;
    log.info('getting what an earlier boot read', { source, chunks: chunks.length });
    const replay = new TraceReplay({
      chunks,
      loader,
      spans: () => (image.collective.usableMembers === 0 ? 0 : image.collective.suggestedPrefetchSpans),
      unread,
      window,
      longestSpan: Math.max(1, longestSpanBytes / image.geometry.chunkSize),
      time,
    });
    this.#replay = replay;
    loader.readsAhead = () => !replay.active;
    void replay.run();
  }

  #end(): void {
    this.#parts.store.endTrace();
    this.#recording = false;
    this.#replay?.stop();
  }
}

function chunksOf(bytes: Uint8Array, { digest, geometry }: OpenedImage): Uint32Array {
  if (digest === undefined) throw new UsageError('a trace belongs to an image: give --digest as well');
  return traceChunks(parseTrace(bytes, { digest, imageSize: geometry.imageSize }), geometry);
}

function readTraceFile(path: string, image: OpenedImage): Uint32Array {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new UsageError(`--trace ${path}: ${describeError(cause)}`, { cause });
  }
  try {
    return chunksOf(bytes, image);
  } catch (cause) {
    throw new UsageError(`--trace ${path}: ${describeError(cause)}`, { cause });
  }
}
