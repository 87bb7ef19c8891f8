/**
 * How images lie in a public directory: each under its digest, `rootimg-HEX.sfs`, for as long as a node may hold it, and `rootimg.sfs`
 * as a symbolic link to the newest. The link is relative and switched by rename(2). A symbolic link rather than a hard one: it says
 * which image it means without anybody reading 1 GB, it has a time of its own, and `rsync -a` copies it as what it is, where a hard
 * link becomes a second copy of the image.
 */
import { lstat, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { digestName, isDigestName } from '../base/digest-name.ts';
import { errorCode } from '../base/errors.ts';
import { hexOf, type ImageDigest, parseDigest } from '../image/digest.ts';
import { largestSidecarSize, readSidecar, sidecarSuffix } from '../image/sidecar.ts';
import { traceSuffix } from '../image/trace.ts';
import { exists, readSmallFile } from './file-source.ts';
import type { StagedFiles } from './staged-files.ts';

export const imageName = 'rootimg.sfs';
/** What its boots read, by path: beside an image in clear; that of an encrypted one is private (private-files.ts). */
export const bootOrderSuffix = '.paths';
/** What lies beside an image under its name with this appended. */
export const companionSuffixes = [sidecarSuffix, traceSuffix, bootOrderSuffix] as const;

/** Where the image of this digest lies in `directory`. */
export function publishedPath(directory: string, digest: ImageDigest): string {
  return join(directory, digestName(imageName, hexOf(digest)));
}

/** The file that a published link names; any other path as it is. @throws the error of realpath(3) */
export async function publishedFile(imagePath: string): Promise<string> {
  const real = await realpath(imagePath);
  const named = isDigestName(basename(real)) && dirname(real) === (await realpath(dirname(imagePath)));
  return named ? join(dirname(imagePath), basename(real)) : imagePath;
}

/** The image that rootimg.sfs means; undefined when it means none, or one whose digest nothing tells. */
export async function newestImage(directory: string): Promise<{ path: string; digest: ImageDigest } | undefined> {
  const path = await publishedFile(join(directory, imageName)).catch(() => undefined);
  if (path === undefined) return undefined;
  const [, hex] = /^rootimg-([0-9a-f]{64})\.sfs$/.exec(basename(path)) ?? [];
  if (hex !== undefined) return { path, digest: parseDigest(hex) };
  const status = await stat(path).catch(() => undefined);
  const digest = status?.isFile() ? await digestBeside(path, status.size) : undefined;
  return digest === undefined ? undefined : { path, digest };
}

/**
 * An image that lies there under its plain name alone (from an earlier version, or copied there) gets its digest's name as well, so
 * that nodes which hold it by digest can go on; unless it is the newest all the same. Its sidecar is believed: readers by digest check
 * every byte.
 */
export async function keepPlainImage(directory: string, newest: ImageDigest, staged: StagedFiles): Promise<void> {
  const plain = join(directory, imageName);
  const status = await lstat(plain).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!status?.isFile()) return;
  const digest = await digestBeside(plain, status.size);
  if (digest === undefined || digest === newest) return;
  for (const suffix of ['', ...companionSuffixes]) {
    const kept = publishedPath(directory, digest) + suffix;
    if ((await exists(plain + suffix)) && !(await exists(kept))) await staged.keepAs(plain + suffix, kept);
  }
}

/** What the sidecar says that belongs to a file of this size; undefined without such a one. */
async function digestBeside(path: string, size: number): Promise<ImageDigest | undefined> {
  try {
    const bytes = await readSmallFile(path + sidecarSuffix, largestSidecarSize(size));
    if (bytes === undefined) return undefined;
    const { imageSize, digest } = readSidecar(bytes);
    return imageSize === size ? digest : undefined;
  } catch {
    // damaged, or of another image: nobody can hold this one by digest
    return undefined;
  }
}
