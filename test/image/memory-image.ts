/** Images in memory, for tests of what reads them. */
import type { ImageSource } from '../../src/image/image-source.ts';

export function memoryImage(bytes: Uint8Array): ImageSource {
  return {
    size: bytes.length,
    async read({ offset, length }) {
      if (offset < 0 || length <= 0 || offset + length > bytes.length) {
        throw new Error(`read of ${offset}+${length} is not within ${bytes.length} bytes`);
      }
      return Uint8Array.from(bytes.subarray(offset, offset + length));
    },
  };
}

/** Bytes that look random and are the same in every run (a 32-bit linear congruential generator). */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

export async function collect(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const collected: Uint8Array[] = [];
  for await (const part of parts) collected.push(Uint8Array.from(part));
  return Buffer.concat(collected);
}

/** A big-endian integer of `width` bytes. */
export function bigEndian(width: number, value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes.subarray(8 - width);
}
