/** A set of chunks, one bit each: an image may have millions. */
import { type ChunkIndex, chunkIndex } from '../image/geometry.ts';

export class ChunkSet {
  readonly #bits: Uint8Array;
  #size = 0;

  /** @param chunkCount chunks of the image. */
  constructor(chunkCount: number) {
    this.#bits = new Uint8Array(Math.ceil(chunkCount / 8));
  }

  /** How many chunks are in the set. */
  get size(): number {
    return this.#size;
  }

  has(chunk: ChunkIndex): boolean {
    return ((this.#bits[chunk >> 3] ?? 0) & (1 << (chunk & 7))) !== 0;
  }

  hasAll(first: number, count: number): boolean {
    for (let chunk = first; chunk < first + count; chunk++) if (!this.has(chunkIndex(chunk))) return false;
    return true;
  }

  add(chunk: ChunkIndex): void {
    if (this.has(chunk)) return;
    this.#bits[chunk >> 3] = (this.#bits[chunk >> 3] ?? 0) | (1 << (chunk & 7));
    this.#size++;
  }

  clear(): void {
    this.#bits.fill(0);
    this.#size = 0;
  }
}
