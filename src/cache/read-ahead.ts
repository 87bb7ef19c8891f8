/**
 * Read-ahead: guesses from the order of accesses what will be read next. Several streams are followed at once, as several
 * programs read at once. A stream is born by its first access, begins to be read ahead at the second that follows on, and its
 * window doubles while access stays sequential; an access that skips ahead halves it. Random access therefore costs nothing.
 *
 * Pure: it is told accesses and answers with windows. Everything is counted in chunks.
 */
import { chunkIndex } from '../image/geometry.ts';
import type { Span } from './spans.ts';

interface Stream {
  /** The chunk after the last one accessed. */
  next: number;
  /** The chunk after the last one asked for in advance; >= next. */
  ahead: number;
  /** How far ahead of `next` to be. 0 until the stream has shown itself to be sequential. */
  window: number;
}

export interface ReadAheadLimits {
  /** Chunks in the image. */
  chunkCount: number;
  /** First window of a stream. */
  initial: number;
  /** Accesses this far off a stream are still in order: the kernel's own read-ahead has several reads under way. */
  slack: number;
  /** Streams followed at once; the one unused for longest makes room for a new one. */
  streams: number;
}

export class ReadAhead {
  readonly #limits: ReadAheadLimits;
  /** Most recently used last. */
  readonly #streams: Stream[] = [];

  constructor(limits: ReadAheadLimits) {
    this.#limits = limits;
  }

  /**
   * A reader wanted `access`. Returns what to get in advance now: chunks not yet asked for by this stream, or undefined.
   * @param widest upper bound of a window at this moment.
   */
  accessed(access: Span, widest: number): Span | undefined {
    const end = access.first + access.count;
    const stream = this.#take(access);
    this.#streams.push(stream);
    if (access.first > stream.next + this.#limits.slack) stream.window = Math.floor(stream.window / 2);
    else if (end > stream.next) stream.window = Math.max(this.#limits.initial, stream.window * 2);
    stream.window = Math.min(stream.window, widest);
    stream.next = Math.max(stream.next, end);

    const from = Math.max(stream.ahead, stream.next);
    const to = Math.min(stream.next + stream.window, this.#limits.chunkCount);
    stream.ahead = Math.max(from, to);
    return to > from ? { first: chunkIndex(from), count: to - from } : undefined;
  }

  /** Takes the stream that the access continues out of the list, or makes a new one. */
  #take(access: Span): Stream {
    const index = this.#streams.findIndex(
      ({ next, ahead }) => access.first >= next - this.#limits.slack && access.first <= ahead,
    );
    const [known] = index >= 0 ? this.#streams.splice(index, 1) : [];
    if (known !== undefined) return known;
    if (this.#streams.length >= this.#limits.streams) this.#streams.shift();
    const end = access.first + access.count;
    return { next: end, ahead: end, window: 0 };
  }
}
