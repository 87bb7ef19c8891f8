/**
 * Where the bytes of one span go. Every attempt owns a slot for each chunk that it may bring, so two attempts never write to the
 * same memory, and the loser's bytes are never seen by anyone. A chunk is handed to native, which verifies and publishes it, the
 * moment its last byte is there.
 *
 * Slots are conserved: each chunk still missing has one in the pool, in a live attempt, or with native. So when all attempts have
 * failed there is always storage for one more.
 */
import { type ByteRange, describeRange, rangeEnd } from '../base/byte-range.ts';
import { type ChunkIndex, chunkIndex, type ImageGeometry } from '../image/geometry.ts';
import type { AttemptSink, AttemptVerdict, FetchTarget } from '../members/contract.ts';
import type { Store } from '../native/binding.ts';
import type { Settling } from './settling.ts';
import { chunksOf, type Span } from './spans.ts';

export interface SpanTargetParts {
  store: Store;
  geometry: ImageGeometry;
  settling: Settling;
  /** Makes room in the arena for a further attempt; called when there is no spare slot. */
  makeRoom: (count: number) => void;
}

export class SpanTarget implements FetchTarget {
  readonly #parts: SpanTargetParts;
  readonly #missing: Set<ChunkIndex>;
  /** Slots that belong to the span and to no attempt. */
  readonly #pool: number[];

  /** @param slots one for each chunk of the span. */
  constructor(parts: SpanTargetParts, span: Span, slots: readonly number[]) {
    this.#parts = parts;
    this.#missing = new Set(chunksOf(span));
    this.#pool = [...slots];
  }

  missing(): ByteRange | undefined {
    if (this.#missing.size === 0) return undefined;
    const first = Math.min(...this.#missing);
    return this.#parts.geometry.rangeOf(chunkIndex(first), Math.max(...this.#missing) - first + 1);
  }

  /** The chunks that are neither published nor forgotten. */
  get missingChunks(): ChunkIndex[] {
    return [...this.#missing];
  }

  open(range: ByteRange, verdict: AttemptVerdict): AttemptSink | undefined {
    const { geometry, store, settling } = this.#parts;
    if (!geometry.isWhole(range)) throw new RangeError(`attempt at ${describeRange(range)} is off the chunk borders`);
    const chunks = this.missingChunks.filter((chunk) => {
      const { offset } = geometry.rangeOf(chunk);
      return offset >= range.offset && offset < rangeEnd(range);
    });
    const reserved = this.#reserve(chunks.length);
    if (reserved === undefined) return undefined;
    return new Attempt({
      geometry,
      store,
      offset: range.offset,
      slots: new Map(chunks.map((chunk, index) => [chunk, reserved[index] ?? never()])),
      filled: (chunk, slot) => {
        if (!this.#missing.has(chunk)) return this.#giveBack(slot);
        settling.handedOver(chunk, slot, verdict);
        store.complete(chunk, slot);
      },
      ended: (unused) => this.#giveBack(...unused),
    });
  }

  /** The chunk is readable. */
  published(chunk: ChunkIndex): void {
    this.#missing.delete(chunk);
    this.#giveBack();
  }

  /** The chunk is no longer this span's business. */
  forget(chunk: ChunkIndex): void {
    this.published(chunk);
  }

  /** Native found the bytes in `slot` wrong and gave it back. */
  rejected(chunk: ChunkIndex, slot: number, verdict: AttemptVerdict | undefined): void {
    this.#giveBack(slot);
    verdict?.corrupt(this.#parts.geometry.rangeOf(chunk));
  }

  #reserve(count: number): number[] | undefined {
    const slots = this.#pool.splice(0, count);
    if (!this.#addSpares(slots, count)) {
      this.#parts.makeRoom(count - slots.length);
      if (!this.#addSpares(slots, count)) {
        this.#giveBack(...slots);
        return undefined;
      }
    }
    return slots;
  }

  #addSpares(slots: number[], count: number): boolean {
    while (slots.length < count) {
      const slot = this.#parts.store.spare();
      if (slot < 0) return false;
      slots.push(slot);
    }
    return true;
  }

  /** Takes slots into the pool; what it then holds beyond one a missing chunk goes back to the arena. */
  #giveBack(...slots: number[]): void {
    this.#pool.push(...slots);
    for (const slot of this.#pool.splice(this.#missing.size)) this.#parts.store.drop(slot);
  }
}

interface AttemptParts {
  geometry: ImageGeometry;
  store: Store;
  /** Where in the image the attempt's bytes begin. */
  offset: number;
  slots: Map<ChunkIndex, number>;
  filled: (chunk: ChunkIndex, slot: number) => void;
  ended: (unusedSlots: number[]) => void;
}

/** One attempt's bytes, in order, cut at chunk borders. Bytes of chunks that it has no slot for are passed over. */
class Attempt implements AttemptSink {
  readonly #parts: AttemptParts;
  #offset: number;
  #open = true;

  constructor(parts: AttemptParts) {
    this.#parts = parts;
    this.#offset = parts.offset;
  }

  write(bytes: Uint8Array): void {
    if (!this.#open) throw new Error('write after close');
    const { geometry, store, slots, filled } = this.#parts;
    for (let done = 0; done < bytes.length; ) {
      const chunk = geometry.chunkAt(this.#offset);
      const { offset, length } = geometry.rangeOf(chunk);
      const within = this.#offset - offset;
      const count = Math.min(bytes.length - done, length - within);
      const slot = slots.get(chunk);
      if (slot !== undefined) {
        store.write(slot, within, bytes.subarray(done, done + count));
        if (within + count === length) {
          slots.delete(chunk);
          filled(chunk, slot);
        }
      }
      this.#offset += count;
      done += count;
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#parts.ended([...this.#parts.slots.values()]);
    this.#parts.slots.clear();
  }
}

function never(): never {
  throw new Error('broken invariant: a slot is reserved for each chunk of an attempt');
}
