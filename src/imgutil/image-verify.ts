/** Checks every byte of an image against its digest, and that a key opens it. */
import type { ByteRange } from '../base/byte-range.ts';
import { UsageError } from '../base/errors.ts';
import type { ImageDigest } from '../image/digest.ts';
import { decryptedSource, type Xts } from '../image/encryption.ts';
import { ImageFormatError, KeyFileError } from '../image/errors.ts';
import { headerSize, imageLayout } from '../image/header.ts';
import { readHead } from '../image/image-source.ts';
import { readSidecar, type Verity, verifySidecar } from '../image/sidecar.ts';
import { wrongBlocks } from '../image/wrong-blocks.ts';
import { WrongImageError } from './errors.ts';
import { computeDigest, contentOf } from './image-info.ts';
import type { OpenImage } from './image-location.ts';

export interface VerifyOptions {
  /** The digest from a trusted place; without it the sidecar beside the image is believed. */
  digest?: ImageDigest | undefined;
  /** Bytes of an fs-verity block, for an image that has no sidecar. */
  blockSize: number;
  /** A key that must open the image. */
  key?: Uint8Array | undefined;
  xts: Xts;
  /** Called for each wrong block as it is found. */
  onWrongBlock: (block: ByteRange) => void;
  /** Bytes checked, of all. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface VerifyResult {
  readonly digest: ImageDigest;
  readonly imageSize: number;
  readonly wrongBlocks: number;
}

/**
 * With a sidecar each wrong block is told; without one only whether the whole image has the digest.
 * @throws UsageError when there is neither digest nor sidecar; DigestMismatchError, SidecarError, ImageFormatError or
 * KeyFileError for what is wrong beyond single blocks.
 */
export async function verifyImage(image: OpenImage, options: VerifyOptions): Promise<VerifyResult> {
  const { source } = image;
  if (options.key !== undefined) await checkKey(image, options.key, options.xts);
  const onProgress = (done: number) => options.onProgress?.(done, source.size);
  const verity = await verityOf(image, options.digest);
  if (verity === undefined) {
    if (options.digest === undefined) {
      throw new UsageError('there is no fs-verity sidecar beside the image to check it against: give --digest');
    }
    const found = await computeDigest(source, options.blockSize, onProgress);
    if (found !== options.digest) {
      throw new WrongImageError(options.digest, found, options.blockSize);
    }
    return { digest: found, imageSize: source.size, wrongBlocks: 0 };
  }
  let wrong = 0;
  for await (const block of wrongBlocks(source, verity, onProgress)) {
    wrong++;
    options.onWrongBlock(block);
  }
  return { digest: verity.digest, imageSize: source.size, wrongBlocks: wrong };
}

async function verityOf(image: OpenImage, digest: ImageDigest | undefined): Promise<Verity | undefined> {
  const bytes = await image.sidecar();
  if (bytes === undefined) return undefined;
  return digest === undefined ? readSidecar(bytes) : verifySidecar(bytes, digest);
}

/** XTS gives noise for a wrong key, so a known beginning tells whether it is the right one. */
async function checkKey({ name, source }: OpenImage, key: Uint8Array, xts: Xts): Promise<void> {
  const { format } = imageLayout(await readHead(source, headerSize));
  if (format !== 'encrypted') throw new ImageFormatError('a key was given, but the image is not encrypted');
  const content = await contentOf(decryptedSource(source, key, xts));
  if (content.format === 'unknown')
    throw new KeyFileError(`${name}: the key does not open this image; is it the key of an older or newer one?`);
}
