/** Says what an image is: its format, what lies under the encryption, and its digest. */
import { describeError, TetherfsError } from '../base/errors.ts';
import type { ImageDigest } from '../image/digest.ts';
import { decryptedSource, type Xts } from '../image/encryption.ts';
import { ImageFormatError, SidecarError } from '../image/errors.ts';
import { encryptedPayloadSize, headerSize, type ImageFormat, imageLayout } from '../image/header.ts';
import { type ImageSource, pieces, readHead } from '../image/image-source.ts';
import { cipher } from '../image/key-file.ts';
import { listPartitions, type Partition } from '../image/partitions.ts';
import { readSidecar } from '../image/sidecar.ts';
import { parseSuperblock, type SquashfsSuperblock } from '../image/squashfs.ts';
import { VerityBuilder } from '../image/verity-builder.ts';
import type { OpenImage } from './image-location.ts';

export interface ImageInfo {
  /** Bytes of the image as served. */
  imageSize: number;
  format: ImageFormat;
  /** What the header calls itself, where there is one. */
  label?: string;
  /** Present when the image is encrypted: how, and the bytes behind the header. */
  encryption?: { cipher: string; payloadSize: number };
  /** What the image holds; absent when it is encrypted and no key was given. */
  content?: ImageContent;
  verity?: { digest: ImageDigest; blockSize: number; from: 'sidecar' | 'computed' };
  /** What it is packed in the order of (a digest: as that image was booted), or `none`; absent where nothing tells. */
  bootOrder?: string;
  /** What is wrong with it, in sentences; the rest is what could be told all the same. */
  problems: string[];
}

export interface ImageContent {
  format: ImageFormat;
  squashfs?: SquashfsSuperblock;
  partitions?: Partition[];
}

export interface ImageInfoOptions {
  /** What looks through the encryption. */
  key?: Uint8Array | undefined;
  xts: Xts;
  /** Block size for computing the digest when there is no usable sidecar; undefined: do not compute. */
  computeBlockSize?: number | undefined;
}

export async function imageInfo(image: OpenImage, options: ImageInfoOptions): Promise<ImageInfo> {
  const { source } = image;
  const problems: string[] = [];
  const info: ImageInfo = { imageSize: source.size, format: 'unknown', problems };
  if (source.size === 0) {
    problems.push('the image is empty');
    return info;
  }
  await collect(problems, async () => {
    const { format, label } = imageLayout(await readHead(source, headerSize));
    info.format = format;
    if (label !== undefined) info.label = label;
    if (format === 'encrypted') info.encryption = { cipher, payloadSize: encryptedPayloadSize(source.size) };
    const payload = payloadOf(source, format, options);
    if (payload === undefined) return;
    info.content = await contentOf(payload);
    if (format === 'encrypted' && info.content.format === 'unknown')
      problems.push('the key does not open this image; is it the key of an older or newer one?');
  });
  await collect(problems, async () => {
    const verity = await verityOf(image);
    if (verity !== undefined) info.verity = verity;
  });
  await collect(problems, async () => {
    const bootOrder = await image.bootOrder();
    if (bootOrder !== undefined) info.bootOrder = bootOrder;
  });
  const blockSize = options.computeBlockSize;
  if (info.verity === undefined && blockSize !== undefined) {
    await collect(problems, async () => {
      info.verity = { digest: await computeDigest(source, blockSize), blockSize, from: 'computed' };
    });
  }
  return info;
}

/** The digest of the whole image as served, without salt. @throws ImageFormatError when it is empty. */
export async function computeDigest(
  source: ImageSource,
  blockSize: number,
  onProgress: (done: number) => void = () => {},
): Promise<ImageDigest> {
  if (source.size === 0) throw new ImageFormatError('the image is empty');
  const builder = new VerityBuilder(blockSize);
  let done = 0;
  for await (const piece of pieces(source)) {
    builder.update(piece);
    done += piece.length;
    onProgress(done);
  }
  return builder.finish().digest;
}

/**
 * What an unencrypted image holds. With a wrong key the payload of an encrypted one is noise, and the format `unknown`.
 * @throws ImageFormatError when it is damaged.
 */
export async function contentOf(payload: ImageSource): Promise<ImageContent> {
  const head = await readHead(payload, headerSize);
  const { format } = imageLayout(head);
  if (format === 'squashfs') return { format, squashfs: parseSuperblock(head, payload.size) };
  if (format === 'partitions') return { format, partitions: await listPartitions(payload) };
  return { format };
}

function payloadOf(source: ImageSource, format: ImageFormat, { key, xts }: ImageInfoOptions): ImageSource | undefined {
  if (format !== 'encrypted') return source;
  return key === undefined ? undefined : decryptedSource(source, key, xts);
}

async function verityOf({ source, sidecar }: OpenImage): Promise<ImageInfo['verity']> {
  const bytes = await sidecar();
  if (bytes === undefined) return undefined;
  const { digest, blockSize, imageSize } = readSidecar(bytes);
  if (imageSize !== source.size) {
    throw new SidecarError(`is for an image of ${imageSize} bytes`);
  }
  return { digest, blockSize, from: 'sidecar' };
}

/** Notes what a user could act on; a defect of tetherfs is thrown on. */
async function collect(problems: string[], step: () => Promise<void>): Promise<void> {
  try {
    await step();
  } catch (error) {
    if (!(error instanceof TetherfsError)) throw error;
    problems.push(describeError(error));
  }
}
