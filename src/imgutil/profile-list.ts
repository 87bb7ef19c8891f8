/** The profiles of confluent's tree: what each boots, its images, and what nodes would miss. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, errorCode, UsageError } from '../base/errors.ts';
import { compareNames } from '../base/natural-order.ts';
import { type ImageDigest, parseDigest } from '../image/digest.ts';
import { headerSize, imageLayout } from '../image/header.ts';
import { readHead } from '../image/image-source.ts';
import { sidecarSuffix } from '../image/sidecar.ts';
import { isPrivateName, labelOf } from '../profile/index.ts';
import { exists, openFileSource } from './file-source.ts';
import { inventory } from './inventory.ts';
import { PrivateFiles, type PrivatePlace } from './private-files.ts';
import { confluentTree } from './private-place.ts';
import { imageName, newestImage } from './published-names.ts';

export interface ListedImage {
  /** `sha256:HEX`; undefined of one that lies there under its plain name, and of which nothing tells it. */
  readonly digest: ImageDigest | undefined;
  readonly path: string;
  /** Of its files, bytes. */
  readonly size: number;
  /** When it came here, ms since 1970. */
  readonly arrived: number;
  /** Nodes that boot get this one. */
  readonly isNewest: boolean;
  readonly isEncrypted: boolean;
}

export interface ListedProfile {
  readonly name: string;
  /** Of profile.yaml. */
  readonly label: string;
  readonly directory: string;
  /** Newest first. */
  readonly images: readonly ListedImage[];
  /** What nodes would miss, in a few words each. */
  readonly lacks: readonly string[];
}

/** Of all, by name. @throws UsageError when the tree has none, or cannot be read. */
export async function listProfiles({ tree = confluentTree }: PrivatePlace): Promise<ListedProfile[]> {
  const place = join(tree, 'public/os');
  const entries = await readdir(place, { withFileTypes: true }).catch((cause: unknown) => {
    throw new UsageError(`${place}: ${describeError(cause)}: give --tree, where public/os is`, { cause });
  });
  const names = entries
    .filter(({ name }) => !name.startsWith('.') && !isPrivateName(name))
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map(({ name }) => name);
  const profiles = await Promise.all(names.map((name) => describeProfile(join(place, name), name)));
  return profiles.sort((a, b) => compareNames(a.name, b.name));
}

/** @param directory its public one. */
async function describeProfile(directory: string, name: string): Promise<ListedProfile> {
  const yaml = await readFile(join(directory, 'profile.yaml'), 'utf8').catch(() => '');
  const images = await imagesIn(directory);
  const lacks: string[] = [];
  const newest = images.find(({ isNewest }) => isNewest);
  if (newest === undefined) lacks.push('an image');
  else {
    if (!(await exists(newest.path + sidecarSuffix))) lacks.push('the hash tree of its image');
    if (newest.isEncrypted && (await isWithoutKey(directory, newest.digest))) lacks.push('the key of its image');
  }
  if (!(await exists(join(directory, 'boot/kernel')))) lacks.push('a kernel');
  if (!(await exists(join(directory, 'boot/initramfs/distribution')))) lacks.push('an initramfs');
  return { name, label: labelOf(yaml), directory, images, lacks };
}

async function imagesIn(directory: string): Promise<ListedImage[]> {
  const newest = await newestImage(directory);
  const named = (await inventory(directory).catch(() => []))
    .filter(({ files: [first = ''] }) => first.endsWith('.sfs'))
    .map(({ hex, files: [first = ''], ...facts }) => ({
      ...facts,
      digest: parseDigest(hex),
      path: join(directory, first),
    }));
  const plain = newest?.path ?? join(directory, imageName);
  const status = await stat(plain).catch(() => undefined);
  const unnamed =
    status === undefined || named.some(({ path }) => path === plain)
      ? []
      : [{ digest: newest?.digest, path: plain, size: status.size, arrived: status.ctimeMs }];
  return Promise.all(
    [...unnamed, ...named].map(async ({ digest, path, size, arrived }) => ({
      ...{ digest, path, size, arrived },
      ...{ isNewest: path === plain, isEncrypted: await isEncrypted(path) },
    })),
  );
}

async function isEncrypted(path: string): Promise<boolean> {
  try {
    await using source = await openFileSource(path);
    return imageLayout(await readHead(source, headerSize)).format === 'encrypted';
  } catch {
    // What is wrong with it, `image info` says.
    return false;
  }
}

/** Whoever may not look into the private tree cannot tell. */
async function isWithoutKey(directory: string, digest: ImageDigest | undefined): Promise<boolean> {
  const files = await PrivateFiles.besides(directory, {});
  const own = digest === undefined ? [] : [files.key(digest)];
  const codes = await Promise.all(
    [...own, files.newestKey].map((path) =>
      stat(path).then(
        () => 'there',
        (error: unknown) => errorCode(error),
      ),
    ),
  );
  return codes.every((code) => code === 'ENOENT' || code === 'ENOTDIR');
}
