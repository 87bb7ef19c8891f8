/** One span of an image in memory, filled by whichever members bring it: each chunk counts when all of it is there, and is what the digest says. */
import { type ByteRange, describeRange, rangeEnd } from '../base/byte-range.ts';
import type { AttemptSink, AttemptVerdict, FetchTarget, SpanFetch } from '../members/index.ts';

export interface SpanBufferParts {
  /** On chunk borders, or up to the image's end. */
  span: ByteRange;
  chunkSize: number;
  /** Whether these are the image's bytes there; undefined: nobody knows. */
  matches: ((range: ByteRange, bytes: Uint8Array) => boolean) | undefined;
}

/** One, and one more that is to be quicker. */
const mostAttempts = 2;

export class SpanBuffer implements FetchTarget {
  readonly bytes: Uint8Array;
  readonly #parts: SpanBufferParts;
  readonly #missing: Set<number>;
  #attempts = 0;
  #fetch: SpanFetch | undefined;

  constructor(parts: SpanBufferParts) {
    this.#parts = parts;
    this.bytes = new Uint8Array(parts.span.length);
    this.#missing = new Set(Array(Math.ceil(parts.span.length / parts.chunkSize)).keys());
  }

  /** Resolves when it is full. @throws OutageError, FetchCancelled */
  filledBy(fetch: SpanFetch): Promise<void> {
    this.#fetch = fetch;
    return fetch.done;
  }

  missing(): ByteRange | undefined {
    if (this.#missing.size === 0) return undefined;
    const [first, last] = [this.#chunk(Math.min(...this.#missing)), this.#chunk(Math.max(...this.#missing))];
    return { offset: first.offset, length: rangeEnd(last) - first.offset };
  }

  open(range: ByteRange, verdict: AttemptVerdict): AttemptSink | undefined {
    if (this.#attempts >= mostAttempts) return undefined;
    const { span, chunkSize } = this.#parts;
    if ((range.offset - span.offset) % chunkSize !== 0)
      throw new RangeError(`attempt at ${describeRange(range)} is off the chunk borders`);
    this.#attempts++;
    const copy = new Uint8Array(range.length);
    let filled = 0;
    let checked = 0;
    return {
      write: (bytes) => {
        copy.set(bytes, filled);
        filled += bytes.length;
        while (checked < filled) {
          const chunk = this.#chunk((range.offset - span.offset + checked) / chunkSize);
          if (checked + chunk.length > filled) return;
          this.#take(chunk, copy.subarray(checked, checked + chunk.length), verdict);
          checked += chunk.length;
        }
      },
      close: () => {
        this.#attempts--;
      },
    };
  }

  #chunk(index: number): ByteRange {
    const { span, chunkSize } = this.#parts;
    const offset = span.offset + index * chunkSize;
    return { offset, length: Math.min(chunkSize, rangeEnd(span) - offset) };
  }

  #take(chunk: ByteRange, bytes: Uint8Array, verdict: AttemptVerdict): void {
    const { span, chunkSize, matches } = this.#parts;
    const index = (chunk.offset - span.offset) / chunkSize;
    const isRight = matches?.(chunk, bytes) ?? true;
    if (isRight && this.#missing.delete(index)) this.bytes.set(bytes, chunk.offset - span.offset);
    // Not while the attempt still writes.
    setImmediate(() => (isRight ? this.#fetch?.progressed() : verdict.corrupt(chunk)));
  }
}
