/** Finds the files of the squashfs in an image, through its encryption. */
import type { PlacedFiles } from '../image/boot-order-chunks.ts';
import { decryptedSource, type Xts } from '../image/encryption.ts';
import { ImageFormatError } from '../image/errors.ts';
import { ImageGeometry } from '../image/geometry.ts';
import { headerSize, imageLayout } from '../image/header.ts';
import { type ImageSource, readHead } from '../image/image-source.ts';
import { parseSuperblock, superblockSize } from '../image/squashfs.ts';
import { listSquashfsFiles, type SquashfsFiles } from '../image/squashfs-files.ts';
import { decompressorFor } from './decompress.ts';
import { KeyMissingError } from './errors.ts';

/** Bytes of a chunk of the traces that are made here: of the daemon's own. */
export const traceChunkSize = 65536;

/** @throws ImageFormatError when it is damaged, or compressed with what we have nothing for. */
export async function squashfsFiles(payload: ImageSource): Promise<SquashfsFiles> {
  const { compression } = parseSuperblock(await readHead(payload, superblockSize), payload.size);
  const decompress = decompressorFor(compression);
  if (decompress === undefined) {
    throw new ImageFormatError(`the files of a squashfs compressed with ${compression} cannot be looked up`);
  }
  return listSquashfsFiles(payload, decompress);
}

/**
 * @param keys the one that opens it is taken.
 * @throws ImageFormatError when no key opens it, or it holds no squashfs.
 */
export async function placedFiles(
  source: ImageSource,
  { keys, xts, chunkSize }: { keys: readonly Uint8Array[]; xts: Xts | undefined; chunkSize: number },
): Promise<PlacedFiles> {
  if (source.size === 0) throw new ImageFormatError('the image is empty');
  const geometry = new ImageGeometry(source.size, chunkSize);
  const { format, hiddenBytes } = imageLayout(await readHead(source, headerSize));
  if (format === 'squashfs') return { geometry, files: await squashfsFiles(source), payloadOffset: 0 };
  if (format !== 'encrypted') throw new ImageFormatError('it holds no squashfs whose files could be looked up');
  for (const key of keys) {
    if (xts === undefined) break;
    const payload = decryptedSource(source, key, xts);
    if (await isSquashfs(payload)) return { geometry, files: await squashfsFiles(payload), payloadOffset: hiddenBytes };
  }
  if (keys.length === 0) throw new KeyMissingError();
  throw new ImageFormatError('no key that is there opens it as a squashfs');
}

/** Whether what the key makes of an encrypted image is something that we know. */
export async function isOpenedBy(image: ImageSource, key: Uint8Array, xts: Xts): Promise<boolean> {
  if (imageLayout(await readHead(image, headerSize)).format !== 'encrypted') return false;
  const payload = decryptedSource(image, key, xts);
  return imageLayout(await readHead(payload, headerSize)).format !== 'unknown';
}

async function isSquashfs(payload: ImageSource): Promise<boolean> {
  try {
    parseSuperblock(await readHead(payload, superblockSize), payload.size);
    return true;
  } catch (error) {
    if (error instanceof ImageFormatError) return false;
    throw error;
  }
}
