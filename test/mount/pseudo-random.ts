/** Bytes that look random, do not compress, and are the same in every run: AES in counter mode over zeros. */
import { createCipheriv } from 'node:crypto';

export function pseudoRandomBytes(length: number, seed: number): Buffer {
  const key = Buffer.alloc(16, seed);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Uniform integers from 0 to `below` - 1, the same in every run. */
export function pseudoRandomIntegers(seed: number): (below: number) => number {
  const words = new Uint32Array(new Uint8Array(pseudoRandomBytes(1 << 18, seed)).buffer);
  let next = 0;
  return (below) => Math.floor(((words[next++ % words.length] ?? 0) / 2 ** 32) * below);
}
