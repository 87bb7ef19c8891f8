/**
 * fs-verity's descriptor (linux/fsverity.h, struct fsverity_descriptor): 256 bytes that say how an image was hashed and
 * what came out. Its SHA-256 is the image's digest.
 */
import { createHash } from 'node:crypto';
import type { ImageDigest } from './digest.ts';
import { SidecarError } from './errors.ts';
import { hashSize, isBlockSize, largestBlockSize, smallestBlockSize } from './merkle-tree.ts';
import { isWebPage } from './web-page.ts';

export const descriptorSize = 256;
/** Bytes of the longest salt. */
export const saltLimit = 32;

export interface VerityDescriptor {
  /** Bytes of the image as served. */
  readonly imageSize: number;
  readonly blockSize: number;
  /** 0 to 32 bytes. */
  readonly salt: Uint8Array;
  /** The Merkle tree's root: 32 bytes. */
  readonly root: Uint8Array;
}

const field = { version: 0, algorithm: 1, blockSizeLog: 2, saltSize: 3, imageSize: 8, root: 16, salt: 80 } as const;
const version1 = 1;
const sha256 = 1;

export function formatDescriptor({ imageSize, blockSize, salt, root }: VerityDescriptor): Uint8Array {
  const bytes = Buffer.alloc(descriptorSize);
  bytes[field.version] = version1;
  bytes[field.algorithm] = sha256;
  bytes[field.blockSizeLog] = Math.log2(blockSize);
  bytes[field.saltSize] = salt.length;
  bytes.writeBigUInt64LE(BigInt(imageSize), field.imageSize);
  bytes.set(root, field.root);
  bytes.set(salt, field.salt);
  return bytes;
}

/** @throws SidecarError when the bytes are not exactly what `formatDescriptor` makes of some image that tetherfs can serve. */
export function parseDescriptor(bytes: Uint8Array): VerityDescriptor {
  if (isWebPage(bytes)) throw new SidecarError('it is a web page');
  if (bytes.length < descriptorSize) throw new SidecarError(`cut off in its descriptor, at byte ${bytes.length}`);
  const block = Buffer.from(bytes.buffer, bytes.byteOffset, descriptorSize);
  const version = block.readUInt8(field.version);
  if (version !== version1) throw new SidecarError(`descriptor is of version ${version}; only 1 is known`);
  const algorithm = block.readUInt8(field.algorithm);
  if (algorithm !== sha256) throw new SidecarError(`hash algorithm is number ${algorithm}; only 1 (sha256) is used`);
  const blockSizeLog = block.readUInt8(field.blockSizeLog);
  const blockSize = 2 ** blockSizeLog;
  if (!isBlockSize(blockSize)) {
    throw new SidecarError(`block size 2^${blockSizeLog} is not from ${smallestBlockSize} to ${largestBlockSize}`);
  }
  const saltSize = block.readUInt8(field.saltSize);
  if (saltSize > saltLimit) throw new SidecarError(`salt of ${saltSize} bytes; at most ${saltLimit} fit`);
  const imageSize = block.readBigUInt64LE(field.imageSize);
  if (imageSize === 0n || imageSize > BigInt(Number.MAX_SAFE_INTEGER))
    throw new SidecarError(`image size ${imageSize} makes no sense`);
  const descriptor = {
    imageSize: Number(imageSize),
    blockSize,
    salt: Uint8Array.from(block.subarray(field.salt, field.salt + saltSize)),
    root: Uint8Array.from(block.subarray(field.root, field.root + hashSize)),
  };
  if (!block.equals(formatDescriptor(descriptor)))
    throw new SidecarError('reserved bytes of the descriptor are not zero');
  return descriptor;
}

export function digestOfDescriptor(descriptor: VerityDescriptor): ImageDigest {
  return `sha256:${createHash('sha256').update(formatDescriptor(descriptor)).digest('hex')}` as ImageDigest;
}
