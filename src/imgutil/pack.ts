/**
 * Packs a directory into what the members serve: an image (encrypted unless said otherwise) and its fs-verity sidecar in the
 * public directory, both under the image's digest, and rootimg.sfs pointing at it; the key in the private one. Older images stay,
 * because running nodes read them. Cleartext is only ever written below the private directory. All names change together, and a
 * pack that fails leaves nothing behind.
 *
 * The clear squashfs is made first, because mksquashfs writes its superblock last; it is then read once, and encrypted, hashed
 * and written in the same pass.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describeError, errorCode, isSystemError, TetherfsError, UsageError } from '../base/errors.ts';
import type { ImageDigest } from '../image/digest.ts';
import { encryptedImageSize, encryptImage, type Xts } from '../image/encryption.ts';
import { pieces } from '../image/image-source.ts';
import { formatKeyFile, keySize } from '../image/key-file.ts';
import { sidecarSuffix } from '../image/sidecar.ts';
import { VerityBuilder } from '../image/verity-builder.ts';
import { PackError } from './errors.ts';
import { openFileSource } from './file-source.ts';
import { computeDigest } from './image-info.ts';
import { removeLeftovers, temporaryId } from './leftovers.ts';
import { MadeDirectories } from './made-directories.ts';
import { type Compression, mksquashfs } from './mksquashfs.ts';
import { mountsInside } from './mounts-inside.ts';
import { confluentTree, defaultPrivateDir, liesIn, refusePublicPlace } from './private-place.ts';
import { imageName, keepPlainImage, publishedPath } from './published-names.ts';
import { StagedFiles } from './staged-files.ts';

/** The key's place below the private directory. confluent hands out what lies in `pending`. */
const keyPlace = { directory: 'pending', name: 'rootimg.key' };

export interface PackOptions {
  /** The tree to pack: it becomes the image's root directory. */
  sourceDir: string;
  /** Public: gets rootimg-HEX.sfs and its sidecar, and links without the digest to them. Made when it does not exist. */
  outDir: string;
  /** Gets pending/rootimg.key. By default confluent's counterpart of `outDir`, or `OUT_DIR.private`. */
  privateDir?: string | undefined;
  /** Where confluent keeps its public and private trees: /var/lib/confluent. */
  tree?: string | undefined;
  compression: Compression;
  /** Bytes of an fs-verity block: a power of two from 4096 to 1048576. */
  verityBlockSize: number;
  /** What encrypts; undefined for an image in clear, without a key. */
  xts: Xts | undefined;
  /** Bytes of the image written, of all that will be. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  /** Whether other file systems that are mounted in the tree are packed as well; else their mountpoints are empty directories. */
  includeMounts?: boolean | undefined;
  /** Told what a pack that was killed had left, and is removed. */
  onLeftover?: ((path: string) => void) | undefined;
  /** Whether mksquashfs may draw its progress bar on our standard error. */
  showProgress?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface PackedImage {
  /** Named by its digest. */
  readonly imagePath: string;
  /** rootimg.sfs, a symbolic link to it. */
  readonly linkPath: string;
  readonly imageSize: number;
  readonly sidecarPath: string;
  readonly digest: ImageDigest;
  /** undefined when the image is not encrypted. */
  readonly keyPath: string | undefined;
  /** Mountpoints in the tree, packed as empty directories. */
  readonly leftOut: readonly string[];
  /** What mksquashfs could not keep, e.g. POSIX ACLs. */
  readonly warnings: readonly string[];
}

/** @throws UsageError when the directories make no sense, PackError when packing fails. */
export async function pack(options: PackOptions): Promise<PackedImage> {
  const made = new MadeDirectories();
  try {
    const sourceDir = await sourceDirectory(options.sourceDir);
    await made.make(options.outDir, 0o755);
    const outDir = await realpath(options.outDir);
    const workDir = options.xts === undefined ? outDir : await privateDirectory(options, outDir, made);
    for (const directory of [outDir, workDir]) {
      if (liesIn(directory, sourceDir))
        throw new UsageError(`${directory} lies in ${sourceDir}: the image would hold itself`);
    }
    return await packInto({ ...options, sourceDir, outDir }, workDir);
  } catch (error) {
    await made.remove();
    if (options.signal?.aborted) throw new PackError('packing was interrupted; nothing was changed', { cause: error });
    if (error instanceof TetherfsError) throw error;
    if (errorCode(error) === 'ENOSPC')
      throw new PackError('there is no room for the image; nothing was changed', { cause: error });
    const where = isSystemError(error) && 'path' in error ? ` (${error.path})` : '';
    throw new PackError(`cannot pack ${options.sourceDir}: ${describeError(error)}${where}`, { cause: error });
  }
}

async function sourceDirectory(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new UsageError(`there is no directory ${path} to pack, or it is not for us`);
  if (!found.isDirectory()) throw new UsageError(`${path} is not a directory: give the tree to pack`);
  return realpath(path);
}

/** Makes the private directory with the key's place in it. All paths are real ones: a symbolic link must not hide that it is served. */
async function privateDirectory(
  { privateDir, tree = confluentTree }: PackOptions,
  outDir: string,
  made: MadeDirectories,
): Promise<string> {
  const realTree = await realpath(tree).catch(() => tree);
  const wanted = privateDir ?? defaultPrivateDir(outDir, realTree);
  await made.make(join(wanted, keyPlace.directory), 0o700);
  const found = await realpath(wanted);
  refusePublicPlace(found, outDir, realTree);
  return found;
}

/** `workDir` is where the clear squashfs lies meanwhile. */
async function packInto(options: PackOptions, workDir: string): Promise<PackedImage> {
  const { sourceDir, outDir, compression, xts, signal, includeMounts = false, showProgress = false } = options;
  const places = [outDir, workDir, join(workDir, keyPlace.directory)];
  for (const path of await removeLeftovers(places)) options.onLeftover?.(path);
  const leftOut = includeMounts ? [] : mountsInside(sourceDir);
  if (leftOut.length > 0 && process.geteuid?.() !== 0) {
    throw new PackError(`only root can leave out what is mounted in the tree: unmount ${leftOut.join(', ')}`);
  }
  const temporary = join(workDir, `.${imageName}.pack-${temporaryId()}`);
  await mkdir(temporary, { mode: 0o700 });
  const staged = new StagedFiles();
  const key = randomBytes(keySize);
  try {
    const squashfs = join(temporary, 'clear.sfs');
    const viewAt = leftOut.length === 0 ? undefined : join(temporary, 'tree');
    if (viewAt !== undefined) await mkdir(viewAt);
    const warnings = await mksquashfs(sourceDir, squashfs, { compression, viewAt, showProgress, signal });
    const keyPath = xts === undefined ? undefined : join(workDir, keyPlace.directory, keyPlace.name);
    // The key first: an image whose key is missing is lost, a key without its image is not.
    if (keyPath !== undefined) await (await staged.create(keyPath, 0o600)).appendFile(formatKeyFile(key));

    await using payload = await openFileSource(squashfs);
    const linkPath = join(outDir, imageName);
    const image = xts === undefined ? pieces(payload) : encryptImage(payload, key, xts);
    const imageSize = xts === undefined ? payload.size : encryptedImageSize(payload.size);
    const builder = new VerityBuilder(options.verityBlockSize);
    const sidecarFile = await staged.create(linkPath + sidecarSuffix, 0o644);
    const imageFile = await staged.create(linkPath, 0o644);
    let written = 0;
    for await (const piece of image) {
      signal?.throwIfAborted();
      builder.update(piece);
      await imageFile.appendFile(piece);
      written += piece.length;
      options.onProgress?.(written, imageSize);
    }
    const { sidecar, digest } = builder.finish();
    await sidecarFile.appendFile(sidecar);
    const imagePath = publishedPath(outDir, digest);
    const sidecarPath = imagePath + sidecarSuffix;
    await staged.retarget(sidecarFile, sidecarPath);
    if (await holds(imagePath, digest, options.verityBlockSize)) {
      // Untouched, but for its time of change: the file keeps its ETag, and nobody takes it for an old one.
      await chmod(imagePath, 0o644);
      await staged.withdraw(imageFile);
    } else {
      await staged.retarget(imageFile, imagePath);
    }
    await keepPlainImage(outDir, digest, staged);
    for (const suffix of [sidecarSuffix, '']) await staged.link(basename(imagePath) + suffix, linkPath + suffix);
    await staged.commit();
    return { imagePath, linkPath, imageSize, sidecarPath, digest, keyPath, leftOut, warnings };
  } finally {
    key.fill(0);
    await staged.discard();
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Whether the image is there already, every byte of it. */
async function holds(path: string, digest: ImageDigest, blockSize: number): Promise<boolean> {
  if (!(await stat(path).catch(() => undefined))?.isFile()) return false;
  await using there = await openFileSource(path);
  return there.size > 0 && (await computeDigest(there, blockSize)) === digest;
}
