/**
 * What a profile has beside its image (rootimg.sfs), in confluent's places: kernel, initramfs and bootloaders of the tree; `profile.yaml`, which says how it is
 * booted, and is the administrator's once it is there; `manifest.yaml`.
 */
import { createHash } from 'node:crypto';
import { open, readFile, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Document, stringify } from 'yaml';
import { errorCode, UsageError } from '../base/errors.ts';
import { osReleaseValue } from '../base/os-release.ts';
import { bytesOf, fileInside, placeOf } from '../base/tree-entry.ts';
import { stageBase } from './base-profile.ts';
import { exists } from './file-source.ts';
import type { MadeDirectories } from './made-directories.ts';
import type { StagedFiles } from './staged-files.ts';
import { bootloaders } from './tree-bootloaders.ts';
import type { TreeKernel } from './tree-kernel.ts';

export interface ProfileFiles {
  /** The kernel that it boots; undefined when the tree has none. One without an initramfs is not in the profile: what lies there would not fit it. */
  readonly kernel: TreeKernel | undefined;
  /** Names in the profile: `boot/efi/boot/BOOTX64.EFI`. */
  readonly bootloaders: readonly string[];
}

export interface ProfilePlace {
  /** The tree's real path. */
  readonly tree: string;
  readonly outDir: string;
  readonly made: MadeDirectories;
  /** The kernel that nodes boot, if the tree has one. */
  readonly kernel: TreeKernel | undefined;
  /** The directory of a profile, from which it has all that it lacks; undefined: none. */
  readonly base: string | undefined;
}

/** Directories in which it stages files, below the profile's. */
export const profileDirectories = ['boot', 'boot/initramfs', 'boot/efi/boot'];

const profileName = 'profile.yaml';
const manifestName = 'manifest.yaml';
const ourManifest = '# By tetherfs image pack.';

const profileComment = ` How nodes boot this image. The words of kernelargs are those of the kernel's command line; confluent_imagemethod among them says how they hold it:
   tethered      fetched as it is read (without a word)
   untethered    all of it in RAM before anything else
   progressive   fetched as it is read, and all of it in RAM by and by`;

/** A directory of the profile that is another's would take that one's files with it. @throws UsageError */
export async function refuseLinkedDirectories(outDir: string): Promise<void> {
  for (const name of profileDirectories) {
    const path = join(outDir, name);
    const real = await realpath(path).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return path;
      throw error;
    });
    if (real !== path)
      throw new UsageError(`${path} is ${real} by a link: make it a directory of its own, or remove it`);
  }
}

/** Stages all that the tree has. */
export async function stageProfile(staged: StagedFiles, place: ProfilePlace): Promise<ProfileFiles> {
  const tree = bytesOf(place.tree);
  const { kernel } = place;
  const loaders = await bootloaders(tree);
  const hashes: Record<string, string> = {};
  const copy = async (path: string, name: string) => {
    hashes[name] = await stageCopy(staged, placeOf(tree, path), name, place);
  };
  if (kernel?.initramfs !== undefined) {
    await copy(kernel.kernel, 'boot/kernel');
    await copy(kernel.initramfs, 'boot/initramfs/distribution');
  }
  for (const { path, name } of loaders) await copy(path, name);
  if (place.base !== undefined) await stageBase(staged, place.base, place);
  await stageProfileYaml(staged, tree, place);
  await stageManifest(staged, hashes, place);
  return { kernel, bootloaders: loaders.map(({ name }) => name) };
}

/** @returns its SHA-512, hexadecimal digits. */
async function stageCopy(staged: StagedFiles, source: Buffer, name: string, place: ProfilePlace): Promise<string> {
  const target = join(place.outDir, name);
  await place.made.make(dirname(target), 0o755);
  const copy = await staged.create(target, 0o644);
  const hash = createHash('sha512');
  await using file = await open(source);
  for await (const piece of file.createReadStream({ autoClose: false })) {
    hash.update(piece);
    await copy.appendFile(piece);
  }
  return hash.digest('hex');
}

async function stageProfileYaml(staged: StagedFiles, tree: string, { outDir }: ProfilePlace): Promise<void> {
  const path = join(outDir, profileName);
  if (staged.makes(path) || (await exists(path))) return;
  const document = new Document({ label: `${await systemName(tree)} (Diskless Boot)`, kernelargs: 'quiet' });
  document.commentBefore = profileComment;
  const file = await staged.create(path, 0o644);
  await file.appendFile(document.toString({ lineWidth: 0 }));
}

/** As os-release(5) has it. */
async function systemName(tree: string): Promise<string> {
  for (const path of ['/etc/os-release', '/usr/lib/os-release']) {
    const found = await fileInside(tree, path);
    if (found === undefined) continue;
    const text = await readFile(placeOf(tree, found.path), 'utf8');
    const said = osReleaseValue(text, 'PRETTY_NAME');
    if (said !== undefined) return said;
  }
  return 'Linux';
}

/**
 * `osdeploy rebase` replaces what has these hashes by what lies in `distdir`: by naming the profile itself, nothing. A manifest of another origin is
 * about what its maker put there.
 */
async function stageManifest(
  staged: StagedFiles,
  disthashes: Readonly<Record<string, string>>,
  { outDir }: ProfilePlace,
): Promise<void> {
  const path = join(outDir, manifestName);
  const before = (await exists(path)) ? await readFile(path, 'utf8') : undefined;
  if (before !== undefined && !before.startsWith(ourManifest)) return;
  const file = await staged.create(path, 0o644);
  await file.appendFile(`${ourManifest}\n${stringify({ distdir: outDir, disthashes }, { lineWidth: 0 })}`);
}
