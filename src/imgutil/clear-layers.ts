/** An image in clear, and the file systems in it: what is unpacked, or looked into. */
import { type FileHandle, open } from 'node:fs/promises';
import type { Xts } from '../image/encryption.ts';
import { KeyFileError } from '../image/errors.ts';
import { headerSize, imageLayout } from '../image/header.ts';
import { type ImageSource, readHead } from '../image/image-source.ts';
import { type ImageLayer, imageLayers } from '../image/layers.ts';
import { type ClearOptions, checkAll, clearCopy } from './clear-image.ts';
import { sourceOf } from './file-source.ts';
import { isOpenedBy } from './placed-files.ts';
import type { ImageToUnpack } from './unpack-source.ts';

export interface ClearLayers extends AsyncDisposable {
  /** Has a name only if the image is in clear on this machine. */
  readonly file: FileHandle;
  /** In bytes. */
  readonly size: number;
  /** The root's first. */
  readonly layers: readonly ImageLayer[];
}

export type ClearLayersOptions = Pick<ClearOptions, 'xts' | 'directory' | 'onProgress' | 'signal'>;

/** Every byte of it is checked. @throws KeyFileError, ImageFormatError, WrongBlocksError; as clearCopy */
export async function openLayers(image: ImageToUnpack, options: ClearLayersOptions): Promise<ClearLayers> {
  const file = await clearFile(image, options);
  try {
    const payload = await sourceOf(image.name, file);
    const layers = await imageLayers(payload);
    return { file, size: payload.size, layers, [Symbol.asyncDispose]: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function clearFile({ source, check, path, ...image }: ImageToUnpack, options: ClearLayersOptions) {
  const isEncrypted = imageLayout(await readHead(source, headerSize)).format === 'encrypted';
  if (isEncrypted || path === undefined) {
    const key = isEncrypted ? await keyOf({ source, ...image }, options.xts) : undefined;
    return clearCopy(source, { ...options, key, check });
  }
  // What lies on this machine in clear needs no copy.
  await checkAll(source, { ...options, check });
  return open(path);
}

interface LockedImage extends Pick<ImageToUnpack, 'name' | 'keys'> {
  source: ImageSource;
}

async function keyOf({ source, keys, name }: LockedImage, xts: Xts): Promise<Uint8Array> {
  const found = await keys();
  for (const key of found) if (await isOpenedBy(source, key, xts)) return key;
  if (found.length === 0) throw new KeyFileError(`${name} is encrypted, and there is no key of it: give --key-file`);
  throw new KeyFileError(`${name}: the key does not open this image; is it the key of an older or newer one?`);
}
