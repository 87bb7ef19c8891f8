/**
 * An image becomes a directory again: checked against its digest, decrypted, unpacked beside its place, and put there when all of it is there. A capture of several file systems becomes one tree.
 */
import { lstat, mkdir, readdir, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { describeError, errorCode, pathOf, TetherfsError, UsageError } from '../base/errors.ts';
import { bytesOf } from '../base/tree-entry.ts';
import type { ImageDigest } from '../image/digest.ts';
import type { Xts } from '../image/encryption.ts';
import { openLayers } from './clear-layers.ts';
import { directoryInside } from './directory-inside.ts';
import { UnpackError } from './errors.ts';
import { removeAbandoned, temporaryId } from './leftovers.ts';
import { mountsAt } from './mounts-inside.ts';
import { moveEntries } from './move-entries.ts';
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
  const place = await placeFor(options.directory);
  for (const path of await removeAbandoned(place.beside, workplaceOf(place.directory))) options.onLeftover?.(path);
  const work = join(place.beside, `${workplaceOf(place.directory)}${temporaryId()}`);
  try {
    await mkdir(work, { mode: 0o700 });
    const tree = join(work, 'root');
    const mountPoints = await unpackInto(image, tree, work, options);
    options.signal?.throwIfAborted();
    if (place.isMountpoint) await moveEntries(tree, place.directory);
    else await rename(tree, place.directory);
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
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

interface Place {
  readonly directory: string;
  /** Where the tree is made. */
  readonly beside: string;
  /** It cannot be renamed to. */
  readonly isMountpoint: boolean;
}

const workplaceOf = (directory: string) => `.${basename(directory)}.unpack-`;

/** @throws UsageError */
async function placeFor(given: string): Promise<Place> {
  const found = await lstat(given).catch(() => undefined);
  if (found === undefined) {
    const parent = await realpath(dirname(resolve(given))).catch((cause: unknown) => {
      throw new UsageError(`cannot unpack into ${given}: ${dirname(resolve(given))}: ${describeError(cause)}`, {
        cause,
      });
    });
    return { directory: join(parent, basename(resolve(given))), beside: parent, isMountpoint: false };
  }
  const directory = await realpath(given);
  const isMountpoint = mountsAt(directory);
  const ownWork = workplaceOf(directory);
  const inTheWay = (await readdir(directory).catch(() => ['it is a file'])).filter(
    (name) => !(isMountpoint && (name === 'lost+found' || name.startsWith(ownWork))),
  );
  if (inTheWay.length > 0)
    throw new UsageError(`${given} is there, and is no empty directory: name another, or remove it first`);
  return { directory, beside: isMountpoint ? directory : dirname(directory), isMountpoint };
}

async function unpackInto(image: ImageToUnpack, tree: string, work: string, options: UnpackOptions): Promise<string[]> {
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
