/**
 * A cache as small as can be: one span's chunks in a buffer. A chunk is published when an attempt has delivered all of it and
 * it is right; verification answers a moment later, as the real one does.
 */
import type { ByteRange } from '../../src/base/byte-range.ts';
import type { AttemptSink, AttemptVerdict, FetchTarget, SpanFetch } from '../../src/members/index.ts';

export interface MemoryTargetOptions {
  span: ByteRange;
  chunkSize: number;
  /** Without it every chunk counts as right. */
  expected?: Uint8Array;
  /** Copies there is storage for. */
  copies?: number;
}

export class MemoryTarget implements FetchTarget {
  readonly bytes: Uint8Array;
  /** Sinks opened and not closed. */
  openSinks = 0;
  mostOpen = 0;
  opened = 0;
  /** Bytes written over all sinks. */
  written = 0;
  readonly #options: MemoryTargetOptions;
  readonly #published: boolean[];
  #fetch: SpanFetch | undefined;

  constructor(options: MemoryTargetOptions) {
    this.#options = options;
    this.bytes = new Uint8Array(options.span.length);
    this.#published = Array.from({ length: Math.ceil(options.span.length / options.chunkSize) }, () => false);
  }

  /** Tells the fetch about published chunks from now on. */
  attach(fetch: SpanFetch): Promise<void> {
    this.#fetch = fetch;
    return fetch.done;
  }

  missing(): ByteRange | undefined {
    const first = this.#published.indexOf(false);
    if (first < 0) return undefined;
    const { span, chunkSize } = this.#options;
    const end = Math.min((this.#published.lastIndexOf(false) + 1) * chunkSize, span.length);
    return { offset: span.offset + first * chunkSize, length: end - first * chunkSize };
  }

  open(range: ByteRange, verdict: AttemptVerdict): AttemptSink | undefined {
    if (this.openSinks >= (this.#options.copies ?? 2)) return undefined;
    this.opened++;
    this.mostOpen = Math.max(this.mostOpen, ++this.openSinks);
    const { span, chunkSize } = this.#options;
    const copy = new Uint8Array(range.length);
    let filled = 0;
    let closed = false;
    const base = range.offset - span.offset;
    return {
      write: (bytes) => {
        if (closed) throw new Error('written after close');
        copy.set(bytes, filled);
        this.written += bytes.length;
        const before = filled;
        filled += bytes.length;
        for (let at = Math.floor(before / chunkSize) * chunkSize; at < filled; at += chunkSize) {
          const length = Math.min(chunkSize, range.length - at);
          if (at + length > filled || at + length <= before) continue;
          this.#verify((base + at) / chunkSize, copy.slice(at, at + length), verdict);
        }
      },
      close: () => {
        if (closed) throw new Error('closed twice');
        closed = true;
        this.openSinks--;
      },
    };
  }

  #verify(chunk: number, bytes: Uint8Array, verdict: AttemptVerdict): void {
    setImmediate(() => {
      const { span, chunkSize, expected } = this.#options;
      const offset = span.offset + chunk * chunkSize;
      if (expected !== undefined && Buffer.compare(expected.subarray(offset, offset + bytes.length), bytes) !== 0) {
        verdict.corrupt({ offset, length: bytes.length });
        return;
      }
      if (!this.#published[chunk]) {
        this.bytes.set(bytes, chunk * chunkSize);
        this.#published[chunk] = true;
      }
      this.#fetch?.progressed();
    });
  }
}
