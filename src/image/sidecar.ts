/**
 * The sidecar `rootimg.sfs.fsverity` beside an image: the fs-verity descriptor (256 bytes), then the Merkle tree as
 * `fsverity digest --out-merkle-tree` writes it. With the digest from a trusted place it makes every block of the image
 * checkable, whoever served it or the sidecar.
 */
import type { ImageDigest } from './digest.ts';
import { DigestMismatchError, SidecarError } from './errors.ts';
import { blockCount, blockSizes, buildTree, hashSize, levelSizes, treeSize } from './merkle-tree.ts';
import {
  descriptorSize,
  digestOfDescriptor,
  formatDescriptor,
  parseDescriptor,
  type VerityDescriptor,
} from './verity-descriptor.ts';

/** Appended to an image's path or URL. */
export const sidecarSuffix = '.fsverity';

/** How to check an image, block by block. */
export interface Verity {
  /** Bytes of the image as served. */
  readonly imageSize: number;
  /** Bytes of a block; the last one is hashed as if zero-padded. */
  readonly blockSize: number;
  /** 0 to 32 bytes, hashed before each block. */
  readonly salt: Uint8Array;
  /** Hash of each block, 32 bytes a block. */
  readonly leaves: Uint8Array;
  readonly digest: ImageDigest;
}

/** Bytes of the sidecar of an image of `imageSize` bytes, hashed in blocks of `blockSize`. */
export function sidecarSize(imageSize: number, blockSize: number): number {
  return descriptorSize + treeSize(imageSize, blockSize);
}

/**
 * A cap for fetching a sidecar whose block size is not known yet. Small blocks make a large tree of a large image; large
 * blocks, each level padded to whole ones, make a large tree of a small image.
 */
export function largestSidecarSize(imageSize: number): number {
  return Math.max(...blockSizes.map((blockSize) => sidecarSize(imageSize, blockSize)));
}

/** The sidecar above the hashes of an image's blocks. */
export function makeSidecar(
  leaves: Uint8Array,
  { imageSize, blockSize, salt }: Pick<Verity, 'imageSize' | 'blockSize' | 'salt'>,
): { sidecar: Uint8Array; digest: ImageDigest } {
  const { root, tree } = buildTree(leaves, blockSize, salt);
  const descriptor = { imageSize, blockSize, salt, root };
  return { sidecar: Buffer.concat([formatDescriptor(descriptor), tree]), digest: digestOfDescriptor(descriptor) };
}

/**
 * Checks a sidecar from an untrusted place against the digest from a trusted one.
 * @throws DigestMismatchError when it belongs to another image, SidecarError when it is damaged or hostile.
 */
export function verifySidecar(bytes: Uint8Array, digest: ImageDigest): Verity {
  return verityOf(descriptorOf(bytes, digest), bytes, digest);
}

function descriptorOf(bytes: Uint8Array, digest: ImageDigest): VerityDescriptor {
  const descriptor = parseDescriptor(bytes);
  const found = digestOfDescriptor(descriptor);
  if (found !== digest) throw new DigestMismatchError('fs-verity sidecar', digest, found);
  return descriptor;
}

/** How a sidecar of this digest is told by its first bytes. */
export function sidecarJudge(digest: ImageDigest) {
  return {
    headBytes: descriptorSize,
    /** Bytes of the whole. @throws DigestMismatchError, SidecarError as verifySidecar. */
    lengthBy: (head: Uint8Array) => {
      const { imageSize, blockSize } = descriptorOf(head, digest);
      return sidecarSize(imageSize, blockSize);
    },
  };
}

/** A sidecar that agrees with itself. Says nothing about who made it: compare its digest. @throws SidecarError */
export function readSidecar(bytes: Uint8Array): Verity {
  const descriptor = parseDescriptor(bytes);
  return verityOf(descriptor, bytes, digestOfDescriptor(descriptor));
}

function verityOf(descriptor: VerityDescriptor, bytes: Uint8Array, digest: ImageDigest): Verity {
  const { imageSize, blockSize, salt, root } = descriptor;
  const expected = sidecarSize(imageSize, blockSize);
  if (bytes.length !== expected) {
    throw new SidecarError(`has ${bytes.length} bytes; ${expected} belong to an image of ${imageSize} bytes`);
  }
  const tree = Buffer.from(bytes.buffer, bytes.byteOffset + descriptorSize, bytes.length - descriptorSize);
  const leaves = leavesOf(tree, descriptor);
  const rebuilt = buildTree(leaves, blockSize, salt);
  let end = tree.length;
  for (const [level, size] of levelSizes(imageSize, blockSize).entries()) {
    const start = end - size;
    if (!tree.subarray(start, end).equals(rebuilt.tree.subarray(start, end))) {
      throw new SidecarError(
        `level ${level} of the Merkle tree (level 0: the leaves) does not agree with the level below`,
      );
    }
    end = start;
  }
  if (!Buffer.from(root).equals(rebuilt.root)) throw new SidecarError('Merkle tree does not lead to the root hash');
  return { imageSize, blockSize, salt, leaves, digest };
}

/** Copied, so that the leaves outlive the rest of the sidecar without holding it in memory. */
function leavesOf(tree: Uint8Array, { imageSize, blockSize, root }: VerityDescriptor): Uint8Array {
  const [leafLevelSize] = levelSizes(imageSize, blockSize);
  if (leafLevelSize === undefined) return root;
  const start = tree.length - leafLevelSize;
  return Uint8Array.from(tree.subarray(start, start + blockCount(imageSize, blockSize) * hashSize));
}
