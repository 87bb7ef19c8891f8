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
import { chmod, mkdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describeError, errorCode, isSystemError, TetherfsError, UsageError } from '../base/errors.ts';
import type { ImageDigest } from '../image/digest.ts';
import { encryptedImageSize, encryptImage, type Xts } from '../image/encryption.ts';
import { ImageGeometry } from '../image/geometry.ts';
import { headerSize } from '../image/header.ts';
import { pieces } from '../image/image-source.ts';
import { keySize } from '../image/key-file.ts';
import { sidecarSuffix } from '../image/sidecar.ts';
import { VerityBuilder } from '../image/verity-builder.ts';
import { stageBootOrder, stageTranslated } from './boot-files.ts';
import { chooseBootOrder } from './boot-order-choice.ts';
import { stageBuildInfo } from './build-info.ts';
import { PackError } from './errors.ts';
import { openFileSource } from './file-source.ts';
import { computeDigest } from './image-info.ts';
import { stageKeys } from './image-keys.ts';
import { removeLeftovers, temporaryId } from './leftovers.ts';
import { MadeDirectories } from './made-directories.ts';
import { type Compression, mksquashfs } from './mksquashfs.ts';
import { mountsInside } from './mounts-inside.ts';
import { canLookUp, squashfsFiles, traceChunkSize } from './placed-files.ts';
import { PrivateFiles } from './private-files.ts';
import { confluentTree, defaultPrivateDir, liesIn, refusePublicPlace } from './private-place.ts';
import { imageName, keepPlainImage, publishedPath } from './published-names.ts';
import { sortFile } from './sort-file.ts';
import { StagedFiles } from './staged-files.ts';

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
  /** A list of paths or a trace: what a boot reads is packed first, in that order. `none`: in no order. By default as the replaced image was last booted. */
  bootOrder?: string | undefined;
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
  /** Where its order comes from: a digest, a file, or `none`. */
  readonly bootOrder: { readonly source: string; readonly files: number; readonly problem?: string };
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
  await made.make(new PrivateFiles(wanted).directory, 0o700);
  const found = await realpath(wanted);
  refusePublicPlace(found, outDir, realTree);
  return found;
}

/** `workDir` is where the clear squashfs lies meanwhile. */
async function packInto(options: PackOptions, workDir: string): Promise<PackedImage> {
  const { sourceDir, outDir, compression, xts, signal, includeMounts = false, showProgress = false } = options;
  const privateFiles = xts === undefined ? undefined : new PrivateFiles(workDir);
  for (const path of await removeLeftovers([outDir, workDir, privateFiles?.directory ?? workDir])) {
    options.onLeftover?.(path);
  }
  const leftOut = includeMounts ? [] : mountsInside(sourceDir);
  if (leftOut.length > 0 && process.geteuid?.() !== 0) {
    throw new PackError(`only root can leave out what is mounted in the tree: unmount ${leftOut.join(', ')}`);
  }
  const order = await chooseBootOrder(options.bootOrder, { directory: outDir, privateFiles, xts });
  const sorted = await sortFile(order.items, sourceDir);
  const temporary = join(workDir, `.${imageName}.pack-${temporaryId()}`);
  await mkdir(temporary, { mode: 0o700 });
  const staged = new StagedFiles();
  const key = randomBytes(keySize);
  try {
    const squashfs = join(temporary, 'clear.sfs');
    const viewAt = leftOut.length === 0 ? undefined : join(temporary, 'tree');
    if (viewAt !== undefined) await mkdir(viewAt);
    const sortAt = sorted.files === 0 ? undefined : join(temporary, 'sort');
    if (sortAt !== undefined) await writeFile(sortAt, sorted.text, 'latin1');
    const flags = { compression, viewAt, sortFile: sortAt, showProgress, signal };
    const warnings = await mksquashfs(sourceDir, squashfs, flags);
    // The keys first: an image whose key is missing is lost, a key without its image is not.
    const keyFile = privateFiles && (await stageKeys(staged, privateFiles, outDir, key));

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
    if (privateFiles && keyFile) await staged.retarget(keyFile, privateFiles.key(digest));
    await staged.retarget(sidecarFile, sidecarPath);
    if (await holds(imagePath, digest, options.verityBlockSize)) {
      // Untouched, but for its time of change: the file keeps its ETag, and nobody takes it for an old one.
      await chmod(imagePath, 0o644);
      await staged.withdraw(imageFile);
    } else {
      await staged.retarget(imageFile, imagePath);
    }
    const place = { imagePath, digest, privateFiles };
    if (order.items.length > 0 && canLookUp(compression)) {
      const geometry = new ImageGeometry(imageSize, traceChunkSize);
      const payloadOffset = xts === undefined ? 0 : headerSize;
      const placed = { geometry, payloadOffset, files: await squashfsFiles(payload) };
      await stageTranslated(staged, order.items, placed, place);
    } else if (order.items.length > 0) {
      await stageBootOrder(staged, order.items, place);
    }
    await keepPlainImage(outDir, digest, staged);
    await stageBuildInfo(staged, outDir, { image: basename(imagePath), bootOrder: order.source });
    for (const suffix of [sidecarSuffix, '']) await staged.link(basename(imagePath) + suffix, linkPath + suffix);
    await staged.commit();
    const { items, ...bootOrder } = { ...order, files: sorted.files };
    const keyPath = privateFiles?.newestKey;
    return { imagePath, linkPath, imageSize, sidecarPath, digest, keyPath, bootOrder, leftOut, warnings };
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
