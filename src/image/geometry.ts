/**
 * Chunks: the image cut into equal aligned pieces, the last one shorter. The unit of caching and verification.
 */
import { type ByteRange, rangeEnd } from '../base/byte-range.ts';

/** Number of a chunk, from 0. */
export type ChunkIndex = number & { readonly unit: 'chunk' };

export function chunkIndex(value: number): ChunkIndex {
  return value as ChunkIndex;
}

export class ImageGeometry {
  /** Bytes of the image as served. */
  readonly imageSize: number;
  /** Bytes of a chunk, a power of two. */
  readonly chunkSize: number;
  readonly chunkCount: number;

  constructor(imageSize: number, chunkSize: number) {
    if (!Number.isSafeInteger(imageSize) || imageSize <= 0)
      throw new RangeError(`image size ${imageSize} is not a size`);
    if (!Number.isInteger(Math.log2(chunkSize))) throw new RangeError(`chunk size ${chunkSize} is not a power of two`);
    this.imageSize = imageSize;
    this.chunkSize = chunkSize;
    this.chunkCount = Math.ceil(imageSize / chunkSize);
  }

  /** The chunk that holds the byte at `offset`. */
  chunkAt(offset: number): ChunkIndex {
    return chunkIndex(Math.floor(offset / this.chunkSize));
  }

  /** The chunks that hold a byte of the range. */
  chunksIn(range: ByteRange): { first: ChunkIndex; count: number } {
    const first = this.chunkAt(range.offset);
    return { first, count: this.chunkAt(rangeEnd(range) - 1) - first + 1 };
  }

  /** Bytes of `count` chunks from `first` on, cut at the image's end. */
  rangeOf(first: ChunkIndex, count = 1): ByteRange {
    const offset = first * this.chunkSize;
    return { offset, length: Math.min(count * this.chunkSize, this.imageSize - offset) };
  }

  /** Whether the range begins and ends on chunk borders or at the image's end. */
  isWhole(range: ByteRange): boolean {
    const end = rangeEnd(range);
    return range.offset % this.chunkSize === 0 && (end % this.chunkSize === 0 || end === this.imageSize);
  }
}
