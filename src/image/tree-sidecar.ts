/** The sidecar as it is asked of members, so that every byte of the image can be checked: what they take it for, and what it is good for. */
import { type ByteRange, largestImage } from '../base/byte-range.ts';
import type { ImageDigest } from './digest.ts';
import { rangeMatches } from './range-check.ts';
import { sidecarJudge, sidecarSize, sidecarSuffix, type Verity, verifySidecar } from './sidecar.ts';

/** Bytes of a chunk, unless the image's blocks are larger. Few enough events for JavaScript, little enough for a random read. */
export const usualChunkSize = 64 * 1024;

/** Bytes of the largest sidecar that is believed. */
export const mostSidecarBytes = sidecarSize(largestImage, usualChunkSize);

/** @param take told of the tree, and of the file that it came in, when it is that of the digest. */
export function treeSidecar(digest: ImageDigest, take: (tree: Verity, bytes: Uint8Array) => void) {
  return {
    suffix: sidecarSuffix,
    maxBytes: mostSidecarBytes,
    judge: sidecarJudge(digest),
    accept(bytes: Uint8Array) {
      const tree = verifySidecar(bytes, digest);
      take(tree, bytes);
      return verificationBy(tree);
    },
  };
}

/** For members. */
export function verificationBy(tree: Verity) {
  const { imageSize, blockSize } = tree;
  return { imageSize, blockSize, matches: (range: ByteRange, found: Uint8Array) => rangeMatches(tree, range, found) };
}
