/**
 * An image as something that can be read at any offset, wherever it lies: a file, a member's URL, memory. Implemented
 * elsewhere, so that this room knows neither files nor the network.
 */
import type { ByteRange } from '../base/byte-range.ts';

export interface ImageSource {
  /** Bytes. */
  readonly size: number;
  /**
   * All bytes of a range that lies within the size; the caller may change them. Rejects rather than give fewer. They may lie in `into`, which is at least as
   * long: fresh memory, whose pages the kernel must first make, costs several times what hashing and decrypting cost.
   */
  read(range: ByteRange, into?: Uint8Array): Promise<Uint8Array>;
}

/** Bytes read at once where a whole image is read: large enough that the cost of a call does not show. */
const pieceSize = 1 << 20;

/** The whole source, in order, in pieces of `length` bytes; the last is shorter. A piece is dead when the next is asked for. */
export async function* pieces(source: ImageSource, length = pieceSize): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(Math.min(length, source.size));
  for (let offset = 0; offset < source.size; offset += length) {
    yield await source.read({ offset, length: Math.min(length, source.size - offset) }, buffer);
  }
}

/** The first `length` bytes, or all of a smaller source. */
export function readHead(source: ImageSource, length: number): Promise<Uint8Array> {
  const available = Math.min(length, source.size);
  return available === 0 ? Promise.resolve(new Uint8Array()) : source.read({ offset: 0, length: available });
}

export function bytesSource(bytes: Uint8Array): ImageSource {
  return { size: bytes.length, read: async ({ offset, length }) => bytes.slice(offset, offset + length) };
}

/** One after the other. */
export function joinedSource(parts: readonly ImageSource[]): ImageSource {
  return {
    size: parts.reduce((sum, { size }) => sum + size, 0),
    async read({ offset, length }, into = new Uint8Array(length)) {
      const bytes = into.subarray(0, length);
      let start = 0;
      for (const part of parts) {
        const from = Math.max(offset, start);
        const to = Math.min(offset + length, start + part.size);
        if (from < to) bytes.set(await part.read({ offset: from - start, length: to - from }), from - offset);
        start += part.size;
      }
      return bytes;
    },
  };
}
