/** Checks a part of an image against the hashes of its blocks. */
import { type ByteRange, rangeEnd } from '../base/byte-range.ts';
import { hashBlock, hashSize } from './merkle-tree.ts';
import type { Verity } from './sidecar.ts';

/** Whether `bytes` are what the image holds at `range`: whole blocks, the last one cut at the image's end. */
export function rangeMatches(
  { imageSize, blockSize, salt, leaves }: Verity,
  range: ByteRange,
  bytes: Uint8Array,
): boolean {
  const end = rangeEnd(range);
  const whole = range.offset % blockSize === 0 && (end % blockSize === 0 || end === imageSize);
  if (!whole || end > imageSize || bytes.length !== range.length) return false;
  for (let start = 0; start < bytes.length; start += blockSize) {
    const leaf = ((range.offset + start) / blockSize) * hashSize;
    const found = hashBlock(bytes.subarray(start, start + blockSize), blockSize, salt);
    if (Buffer.compare(found, leaves.subarray(leaf, leaf + hashSize)) !== 0) return false;
  }
  return true;
}
