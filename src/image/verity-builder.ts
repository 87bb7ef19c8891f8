/**
 * Computes an image's digest and sidecar while the image streams by. Holds one hash a block (32 bytes), never the image.
 */
import type { Hash } from 'node:crypto';
import type { ImageDigest } from './digest.ts';
import { hashSize, isBlockSize, startBlockHash } from './merkle-tree.ts';
import { makeSidecar } from './sidecar.ts';
import { saltLimit } from './verity-descriptor.ts';

/** 64 KiB: a sidecar of 1/2048 of the image, and a chunk of 64 KiB or more is a whole number of blocks. */
export const defaultBlockSize = 65536;

export class VerityBuilder {
  readonly #blockSize: number;
  readonly #salt: Uint8Array;
  #leaves = new Uint8Array(1024 * hashSize);
  #blocks = 0;
  #imageSize = 0;
  #hash: Hash | undefined;
  /** Bytes that the open hash has taken. */
  #fill = 0;

  constructor(blockSize = defaultBlockSize, salt: Uint8Array = new Uint8Array()) {
    if (!isBlockSize(blockSize)) throw new RangeError(`${blockSize} is no fs-verity block size`);
    if (salt.length > saltLimit) throw new RangeError(`salt of ${salt.length} bytes; at most ${saltLimit} fit`);
    this.#blockSize = blockSize;
    this.#salt = salt;
  }

  /** The next bytes of the image, any number of them. */
  update(bytes: Uint8Array): void {
    this.#imageSize += bytes.length;
    for (let offset = 0; offset < bytes.length; ) {
      const part = bytes.subarray(offset, offset + this.#blockSize - this.#fill);
      this.#hash ??= startBlockHash(this.#salt);
      this.#hash.update(part);
      this.#fill += part.length;
      offset += part.length;
      if (this.#fill === this.#blockSize) this.#closeBlock(this.#hash);
    }
  }

  /** The image has ended; it had at least one byte. Call once. */
  finish(): { sidecar: Uint8Array; digest: ImageDigest } {
    if (this.#imageSize === 0) throw new RangeError('an empty image has no digest');
    if (this.#hash !== undefined) {
      this.#hash.update(new Uint8Array(this.#blockSize - this.#fill));
      this.#closeBlock(this.#hash);
    }
    const leaves = this.#leaves.subarray(0, this.#blocks * hashSize);
    return makeSidecar(leaves, { imageSize: this.#imageSize, blockSize: this.#blockSize, salt: this.#salt });
  }

  #closeBlock(hash: Hash): void {
    if (this.#blocks * hashSize === this.#leaves.length) {
      const larger = new Uint8Array(this.#leaves.length * 2);
      larger.set(this.#leaves);
      this.#leaves = larger;
    }
    this.#leaves.set(hash.digest(), this.#blocks * hashSize);
    this.#blocks++;
    this.#hash = undefined;
    this.#fill = 0;
  }
}
