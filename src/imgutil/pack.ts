/**
 * Packs a directory into what the members serve: an image (encrypted unless said otherwise) and its fs-verity sidecar in the
 * public directory, both under the image's digest, and rootimg.sfs pointing at it; the key in the private one. Older images stay,
 * because running nodes read them. Cleartext is only ever written below the private directory. All names change together, and a
 * pack that fails leaves nothing behind.
 *
 * The clear squashfs is made first, because mksquashfs writes its superblock last; it is then read once, and encrypted, hashed
 * and written in the same pass.
 */
import { mkdir, readdir, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describeError, errorCode, pathOf, TetherfsError, UsageError } from '../base/errors.ts';
import { bytesOf, shownPath } from '../base/tree-entry.ts';
import type { PlacedFiles } from '../image/boot-order-chunks.ts';
import { ImageGeometry } from '../image/geometry.ts';
import { headerSize } from '../image/header.ts';
import type { ImageSource } from '../image/image-source.ts';
import { sidecarSuffix } from '../image/sidecar.ts';
import { baseDirectory } from './base-profile.ts';
import { stageBootFiles } from './boot-files.ts';
import { chooseBootOrder, noBootOrder } from './boot-order-choice.ts';
import { stageBuildInfo } from './build-info.ts';
import { totalOf, treeSizes } from './bytes-read.ts';
import { type Cover, makeCovers } from './covers.ts';
import { PackError } from './errors.ts';
import { openFileSource } from './file-source.ts';
import { removeLeftovers, temporaryId } from './leftovers.ts';
import { hidingMounts, type MachineFile, machineFiles } from './machine-files.ts';
import { MadeDirectories } from './made-directories.ts';
import { type Compression, mksquashfs } from './mksquashfs.ts';
import { mountsInside } from './mounts-inside.ts';
import { makeOutput, makePrivatePlace } from './output-place.ts';
import { squashfsFiles, traceChunkSize } from './placed-files.ts';
import { whyNotDiskless } from './prepare.ts';
import type { PrivateFiles, PrivatePlace } from './private-files.ts';
import { confluentTree, liesIn } from './private-place.ts';
import { type ProfileFiles, refuseLinkedDirectories, stageProfile } from './profile-files.ts';
import { imageName, keepPlainImage } from './published-names.ts';
import { sortedFiles } from './sort-file.ts';
import { StagedFiles } from './staged-files.ts';
import { packFileSystems, type TreeFileSystem } from './tree-file-systems.ts';
import { bootKernel } from './tree-kernel.ts';
import { type WriteOptions, type WrittenImage, writeImage } from './write-image.ts';

export interface PackOptions extends WriteOptions, PrivatePlace {
  /** The tree to pack: it becomes the image's root directory. */
  sourceDir: string;
  /** Public: gets rootimg-HEX.sfs and its sidecar, and links without the digest to them. Made when it does not exist. */
  outDir: string;
  compression: Compression;
  /** A list of paths or a trace: what a boot reads is packed first, in that order. `none`: in no order. By default as the replaced image was last booted. */
  bootOrder?: string | undefined;
  /** Whether other file systems that are mounted in the tree are packed as well; else their mountpoints are empty directories. */
  includeMounts?: boolean | undefined;
  /** Files of the tree that are packed as they are although each machine has its own of them (machine-files.ts): `/etc/shadow`. */
  keep?: readonly string[] | undefined;
  /** Version of the kernel that nodes boot; undefined: the tree's newest. */
  kernel?: string | undefined;
  /** Name or directory of a profile, from which the new one has all that it lacks. */
  baseProfile?: string | undefined;
  /** The tree is that of a machine which had these: each is packed by itself, the root first. By default it is one, packed as one squashfs. */
  fileSystems?: readonly TreeFileSystem[] | undefined;
  /** What the tree is of, for build-info; its name unless said otherwise. */
  origin?: string | undefined;
  /** Told what a pack that was killed had left, and is removed. */
  onLeftover?: ((path: string) => void) | undefined;
  /** Bytes of the tree that were read, of all: the first half of the work. */
  onRead?: ((done: number, total: number) => void) | undefined;
}

export interface PackedImage extends WrittenImage {
  /** rootimg.sfs, a symbolic link to it. */
  readonly linkPath: string;
  readonly sidecarPath: string;
  /** undefined when the image is not encrypted. */
  readonly keyPath: string | undefined;
  /** Where its order comes from: a digest, a file, or `none`. */
  readonly bootOrder: { readonly source: string; readonly files: number; readonly problems: readonly string[] };
  /** The key lies in a directory of our choice beside the public one: nothing says that what is above both is not served. */
  readonly keyIsBeside: boolean;
  /** What lies beside the image now. */
  readonly profile: ProfileFiles;
  /** Files of the tree that are blank in the image or not in it, because each machine has its own. */
  readonly blanked: readonly { readonly path: string; readonly what: string; readonly isLeftOut: boolean }[];
  /** Why no node boots by its initramfs, as far as can be told. */
  readonly whyNotDiskless: string | undefined;
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
    const outDir = await makeOutput(options.outDir, made);
    const privateFiles = options.xts === undefined ? undefined : await makePrivatePlace(outDir, options, made);
    const workDir = privateFiles?.privateDir ?? outDir;
    for (const directory of [outDir, workDir]) {
      if (liesIn(directory, sourceDir))
        throw new UsageError(`${directory} lies in ${sourceDir}: the image would hold itself`);
    }
    return await packInto({ ...options, sourceDir, outDir }, { workDir, privateFiles, made }).catch(
      noRoomIn(workDir, outDir),
    );
  } catch (error) {
    await made.remove();
    if (options.signal?.aborted) throw new PackError('packing was interrupted; nothing was changed', { cause: error });
    if (error instanceof TetherfsError) throw error;
    const where = pathOf(error);
    const place = where === undefined ? '' : ` (${where})`;
    throw new PackError(`cannot pack ${options.sourceDir}: ${describeError(error)}${place}`, { cause: error });
  }
}

/** The clear squashfs and the image lie there at the same time. */
function noRoomIn(workDir: string, outDir: string): (error: unknown) => never {
  return (cause) => {
    if (errorCode(cause) !== 'ENOSPC') throw cause;
    const where = workDir === outDir ? `twice in ${outDir}` : `in ${workDir} (in clear, meanwhile) and in ${outDir}`;
    throw new PackError(`there is no room for the image ${where}; nothing was changed`, { cause });
  };
}

async function sourceDirectory(path: string): Promise<string> {
  const found = await stat(path).catch((cause: unknown) => {
    const why = errorCode(cause) === 'ENOENT' ? 'there is no such directory' : describeError(cause);
    throw new UsageError(`cannot pack ${path}: ${why}`, { cause });
  });
  if (!found.isDirectory()) throw new UsageError(`${path} is not a directory: give the tree to pack`);
  return realpath(path);
}

interface Workplace {
  /** Where the clear squashfs lies meanwhile. */
  readonly workDir: string;
  readonly privateFiles: PrivateFiles | undefined;
  readonly made: MadeDirectories;
}

async function packInto(options: PackOptions, { workDir, privateFiles, made }: Workplace): Promise<PackedImage> {
  const { sourceDir, outDir, xts, includeMounts = false, keep = [] } = options;
  const within = await readdir(outDir, { recursive: true, withFileTypes: true });
  const ours = within.filter((entry) => entry.isDirectory()).map(({ parentPath, name }) => join(parentPath, name));
  for (const path of await removeLeftovers([outDir, ...ours, workDir, privateFiles?.directory ?? workDir])) {
    options.onLeftover?.(path);
  }
  await refuseLinkedDirectories(outDir);
  const tree = bytesOf(sourceDir);
  const leftOut = includeMounts ? [] : mountsInside(sourceDir);
  const [hiding] = hidingMounts(leftOut, tree);
  if (hiding !== undefined)
    throw new PackError(
      `something is mounted at ${hiding}: what lies below it would be packed, and may be secret: unmount it, or say --include-mounts`,
    );
  const { baseProfile } = options;
  const base = baseProfile && (await baseDirectory(baseProfile, options.tree ?? confluentTree, outDir));
  const kernel = await bootKernel(tree, options.kernel);
  const blanked = await machineFiles(tree, { keep });
  if (process.geteuid?.() !== 0) {
    if (leftOut.length > 0)
      throw new PackError(`only root can leave out what is mounted in the tree: unmount ${leftOut.join(', ')}`);
    const files = blanked.map(({ path, what }) => `${shownPath(path)} (${what})`).join(', ');
    if (files !== '')
      throw new PackError(
        `only root can blank what each machine has of its own, ${files}: empty them, or say --keep for each`,
      );
  }
  const wantedOrder = options.fileSystems === undefined ? options.bootOrder : noBootOrder;
  const order = await chooseBootOrder(wantedOrder, { directory: outDir, privateFiles, xts });
  const sorted = await sortedFiles(order.items, sourceDir);
  if (sorted.files === 0 && options.bootOrder !== undefined && options.bootOrder !== noBootOrder) {
    throw new UsageError(`--boot-order ${options.bootOrder}: none of its files is in ${sourceDir}`);
  }
  const temporary = join(workDir, `.${imageName}.pack-${temporaryId()}`);
  await mkdir(temporary, { mode: 0o700 });
  const staged = new StagedFiles();
  try {
    const view = leftOut.length > 0 || blanked.length > 0;
    const covers = await makeCovers(sourceDir, blanked, join(temporary, 'covers'));
    await using clear = await makePayload(options, temporary, {
      covers: view ? covers : undefined,
      sortText: sorted.text,
    });
    const { payload, warnings } = clear;
    // A file that is replaced loses its cover.
    const versions = (files: readonly MachineFile[]) =>
      files.map(({ path, version }) => `${path} ${version}`).join('\n');
    if (versions(await machineFiles(tree, { keep })) !== versions(blanked))
      throw new PackError(
        'the tree changed while it was packed, in files that each machine has of its own: pack again',
      );
    const written = await writeImage(options, payload, staged, privateFiles);
    const { imagePath, imageSize, digest } = written;
    const place = { imagePath, digest, privateFiles };
    const problem = await stageBootFiles(staged, sorted.items, place, () =>
      placedIn(payload, imageSize, xts !== undefined),
    );
    await keepPlainImage(outDir, digest, staged);
    const source = sorted.files === 0 ? noBootOrder : order.source;
    const profile = await stageProfile(staged, { tree: sourceDir, outDir, made, kernel, base });
    await stageBuildInfo(staged, outDir, {
      image: basename(imagePath),
      bootOrder: basename(source),
      packedFrom: options.origin ?? basename(sourceDir),
      kernel: kernel?.initramfs && kernel.version,
      baseProfile,
    });
    const linkPath = join(outDir, imageName);
    for (const suffix of [sidecarSuffix, '']) await staged.link(basename(imagePath) + suffix, linkPath + suffix);
    await staged.commit();
    const problems = [order.problem, problem].filter((one) => one !== undefined);
    const bootOrder = { source, files: sorted.files, problems };
    const sidecarPath = imagePath + sidecarSuffix;
    const keyPath = privateFiles?.newestKey;
    const keyIsBeside = keyPath !== undefined && options.privateDir === undefined && keyPath.startsWith(`${outDir}.`);
    const doubt = kernel?.initramfs === undefined ? undefined : await whyNotDiskless(tree, kernel.initramfs);
    const said = blanked.map(({ path, what, blank }) => ({
      path: shownPath(path),
      what,
      isLeftOut: blank === undefined,
    }));
    return {
      ...written,
      ...{
        linkPath,
        sidecarPath,
        keyPath,
        keyIsBeside,
        bootOrder,
        profile,
        blanked: said,
        leftOut,
        warnings,
        whyNotDiskless: doubt,
      },
    };
  } finally {
    await staged.discard();
    await rm(temporary, { recursive: true, force: true });
  }
}

interface Payload extends AsyncDisposable {
  readonly payload: ImageSource;
  readonly warnings: readonly string[];
}

interface HowToPack {
  /** undefined: the tree as it is seen. */
  covers: readonly Cover[] | undefined;
  /** What mksquashfs' -sort gets; empty: nothing. */
  sortText: string;
}

/** In clear, in the directory `temporary`. */
async function makePayload(options: PackOptions, temporary: string, how: HowToPack): Promise<Payload> {
  const { sourceDir, fileSystems, signal, onRead, includeMounts = false } = options;
  const total = onRead && totalOf(await treeSizes(sourceDir, { withMounts: includeMounts, signal }));
  const tell = total === undefined ? undefined : (bytes: number) => onRead?.(Math.min(bytes, total), total);
  if (fileSystems !== undefined) return packFileSystems(options, { fileSystems, temporary, onRead: tell });
  const path = join(temporary, 'clear.sfs');
  const warnings = await makeSquashfs(options, path, { ...how, temporary, onRead: tell });
  const payload = await openFileSource(path);
  return { payload, warnings, [Symbol.asyncDispose]: () => payload[Symbol.asyncDispose]() };
}

interface WhereToPack extends HowToPack {
  temporary: string;
  onRead: ((bytes: number) => void) | undefined;
}

/** @returns what mksquashfs could not keep. */
async function makeSquashfs(
  { sourceDir, compression, signal, includeMounts = false }: PackOptions,
  path: string,
  { covers, sortText, temporary, onRead }: WhereToPack,
): Promise<string[]> {
  const view = covers && { at: join(temporary, 'tree'), withMounts: includeMounts, covers };
  if (view !== undefined) await mkdir(view.at);
  const left = (covers ?? []).filter(({ file }) => file === undefined);
  const excludeFile = left.length === 0 ? undefined : join(temporary, 'left-out');
  // Paths in the tree, without the slash in front.
  if (excludeFile !== undefined) await writeFile(excludeFile, left.map(({ path }) => `${path.slice(1)}\n`).join(''));
  const sortFile = sortText === '' ? undefined : join(temporary, 'sort');
  if (sortFile !== undefined) await writeFile(sortFile, sortText, 'latin1');
  return mksquashfs(sourceDir, path, { compression, view, excludeFile, sortFile, onRead, signal });
}

async function placedIn(payload: ImageSource, imageSize: number, encrypted: boolean): Promise<PlacedFiles> {
  const geometry = new ImageGeometry(imageSize, traceChunkSize);
  return { geometry, payloadOffset: encrypted ? headerSize : 0, files: await squashfsFiles(payload) };
}
