/** Checks a whole image against the hashes of its blocks. */
import type { ByteRange } from '../base/byte-range.ts';
import { ImageFormatError } from './errors.ts';
import { type ImageSource, pieces } from './image-source.ts';
import { hashBlock, hashSize, largestBlockSize } from './merkle-tree.ts';
import type { Verity } from './sidecar.ts';

/**
 * The blocks of `image` that are not what `verity` says, in order; none when every byte is right. `onProgress` is told the
 * bytes checked so far. @throws ImageFormatError when the sizes differ: then no block can be said to be right.
 */
export async function* wrongBlocks(
  image: ImageSource,
  verity: Verity,
  onProgress: (done: number) => void = () => {},
): AsyncGenerator<ByteRange> {
  const { imageSize, blockSize, salt, leaves } = verity;
  if (image.size !== imageSize) {
    throw new ImageFormatError(
      `the image has ${image.size} bytes, its fs-verity sidecar is for one of ${imageSize}: copy both again, the image is not whole or another`,
    );
  }
  let offset = 0;
  let leaf = 0;
  for await (const piece of pieces(image, largestBlockSize)) {
    for (let start = 0; start < piece.length; start += blockSize, leaf += hashSize) {
      const block = piece.subarray(start, start + blockSize);
      const expected = leaves.subarray(leaf, leaf + hashSize);
      if (Buffer.compare(hashBlock(block, blockSize, salt), expected) !== 0) {
        yield { offset: offset + start, length: block.length };
      }
    }
    offset += piece.length;
    onProgress(offset);
  }
}
