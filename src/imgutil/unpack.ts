/**
 * An image becomes a directory again: checked against its digest, decrypted, unpacked beside its place, and put there when all of it is there. A capture of several file systems becomes one tree.
 */
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, errorCode, pathOf, TetherfsError } from '../base/errors.ts';
import { bytesOf } from '../base/tree-entry.ts';
import type { ImageDigest } from '../image/digest.ts';
import type { Xts } from '../image/encryption.ts';
import { openLayers } from './clear-layers.ts';
import { directoryInside } from './directory-inside.ts';
import { UnpackError } from './errors.ts';
import { TreePlace } from './tree-place.ts';
import type { ImageToUnpack } from './unpack-source.ts';
import { unsquashfs } from './unsquashfs.ts';

export interface UnpackOptions {
  /** Gets the tree: a directory that is empty, or none yet. */
  directory: string;
  xts: Xts;
  /** Whether extended attributes are unpacked: some file systems hold none. */
  xattrs?: boolean | undefined;
  onLeftover?: ((path: string) => void) | undefined;
  /** Bytes of the image that were checked, of all. */
  onChecked?: ((done: number, total: number) => void) | undefined;
  /** Bytes of it that were unpacked, of all. */
  onUnpacked?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface Unpacked {
  readonly directory: string;
  /** undefined: nothing told what the bytes must be. */
  readonly digest: ImageDigest | undefined;
  /** Where its file systems were mounted on the machine that it was captured from; `/` alone of any other image. */
  readonly mountPoints: readonly string[];
}

/** @throws UnpackError */
export function insistOnRoot(): void {
  if (process.geteuid?.() !== 0) throw new UnpackError('only root can give files their owners: run this as root');
}

/** @throws UsageError, UnpackError; what tells that the image, its digest or its key are wrong. The directory is as it was then. */
export async function unpack(image: ImageToUnpack, options: UnpackOptions): Promise<Unpacked> {
  insistOnRoot();
  await using place = await TreePlace.claim(options.directory, 'unpack', options.onLeftover);
  try {
    const mountPoints = await unpackInto(image, place, options);
    options.signal?.throwIfAborted();
    await place.fill();
    return { directory: place.directory, digest: image.digest, mountPoints };
  } catch (error) {
    if (options.signal?.aborted)
      throw new UnpackError('unpacking was interrupted; nothing was changed', { cause: error });
    if (error instanceof TetherfsError) throw error;
    if (errorCode(error) === 'ENOSPC')
      throw new UnpackError(
        `there is no room for the tree, and meanwhile for its image, in ${place.beside}; nothing was changed`,
        { cause: error },
      );
    const where = pathOf(error);
    throw new UnpackError(
      `cannot unpack into ${options.directory}: ${describeError(error)}${where === undefined ? '' : ` (${where})`}`,
      { cause: error },
    );
  }
}

async function unpackInto(image: ImageToUnpack, { tree, work }: TreePlace, options: UnpackOptions): Promise<string[]> {
  const { xts, xattrs = true, onChecked, onUnpacked, signal } = options;
  await using clear = await openLayers(image, { xts, directory: work, onProgress: onChecked, signal });
  const { file, layers, size } = clear;
  for (const [index, { mountPoint, offset }] of layers.entries()) {
    const own = index === 0 ? tree : join(work, `layer-${index}`);
    await unsquashfs(file.fd, own, { offset, xattrs, onRead: (done) => onUnpacked?.(done, size), signal });
    if (index > 0) await moveInto(tree, mountPoint, own);
  }
  return layers.map(({ mountPoint }) => mountPoint);
}

/** What lies at a mountpoint is not seen while something is mounted there. */
async function moveInto(tree: string, mountPoint: string, layer: string): Promise<void> {
  const place = Buffer.from(await directoryInside(bytesOf(tree), mountPoint), 'latin1');
  await rm(place, { recursive: true });
  await rename(layer, place);
}
