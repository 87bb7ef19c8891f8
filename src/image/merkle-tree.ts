/**
 * fs-verity's Merkle tree (Linux: Documentation/filesystems/fsverity.rst), SHA-256: the hashes of the data blocks are the
 * leaves; they fill blocks of the same size, whose hashes make the next level, until one hash is left, the root. Hashed is
 * each block padded with zeros to its full size, behind the salt padded with zeros to 64 bytes. A file of one block has no
 * tree: its leaf is the root. Stored, the level of the root's block comes first, the leaves last.
 */
import { createHash, type Hash } from 'node:crypto';

/** Bytes of a hash. */
export const hashSize = 32;
/** SHA-256 takes its input in pieces of so many bytes; the salt is padded to them. */
const hashInputSize = 64;

/** Bytes of a data or tree block: a power of two. The lower bound is the page's, the upper one a chunk's. */
export const smallestBlockSize = 4096;
export const largestBlockSize = 1 << 20;

/** Every block size there is, smallest first. */
export const blockSizes: readonly number[] = Array.from({ length: 9 }, (_, power) => smallestBlockSize << power);

export function isBlockSize(value: number): boolean {
  return blockSizes.includes(value);
}

/** Blocks in `imageSize` bytes. */
export function blockCount(imageSize: number, blockSize: number): number {
  return Math.ceil(imageSize / blockSize);
}

/** Bytes of each stored level, leaves first; none for an image of one block. */
export function levelSizes(imageSize: number, blockSize: number): number[] {
  const sizes: number[] = [];
  for (let hashes = blockCount(imageSize, blockSize); hashes > 1; ) {
    const blocks = Math.ceil((hashes * hashSize) / blockSize);
    sizes.push(blocks * blockSize);
    hashes = blocks;
  }
  return sizes;
}

/** Bytes of the stored tree. */
export function treeSize(imageSize: number, blockSize: number): number {
  return levelSizes(imageSize, blockSize).reduce((sum, size) => sum + size, 0);
}

/** A hash that has taken the salt and waits for a block. */
export function startBlockHash(salt: Uint8Array): Hash {
  const hash = createHash('sha256');
  if (salt.length > 0) hash.update(zeroPadded(salt, hashInputSize));
  return hash;
}

/** The hash of one block, which may be shorter than `blockSize`. */
export function hashBlock(block: Uint8Array, blockSize: number, salt: Uint8Array): Uint8Array {
  return startBlockHash(salt).update(zeroPadded(block, blockSize)).digest();
}

export interface MerkleTree {
  readonly root: Uint8Array;
  /** As stored: from the root's block to the leaves. */
  readonly tree: Uint8Array;
}

/** The tree above `leaves`, 32 bytes each, at least one. */
export function buildTree(leaves: Uint8Array, blockSize: number, salt: Uint8Array): MerkleTree {
  const levels: Uint8Array[] = [];
  let hashes = leaves;
  while (hashes.length > hashSize) {
    const level = zeroPadded(hashes, Math.ceil(hashes.length / blockSize) * blockSize);
    levels.unshift(level);
    hashes = hashBlocks(level, blockSize, salt);
  }
  return { root: hashes, tree: Buffer.concat(levels) };
}

function hashBlocks(bytes: Uint8Array, blockSize: number, salt: Uint8Array): Uint8Array {
  const hashes = new Uint8Array((bytes.length / blockSize) * hashSize);
  for (let block = 0; block * blockSize < bytes.length; block++) {
    hashes.set(
      hashBlock(bytes.subarray(block * blockSize, (block + 1) * blockSize), blockSize, salt),
      block * hashSize,
    );
  }
  return hashes;
}

function zeroPadded(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length === size) return bytes;
  const result = new Uint8Array(size);
  result.set(bytes);
  return result;
}
