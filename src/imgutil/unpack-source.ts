/** The image that is to be unpacked: a profile's, a file, or what members serve; with what its bytes must be, and its keys. */
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ByteRange, describeRange } from '../base/byte-range.ts';
import { UsageError } from '../base/errors.ts';
import { isFileUrl, parseFileUrl } from '../base/file-url.ts';
import type { ImageDigest } from '../image/digest.ts';
import { ImageFormatError } from '../image/errors.ts';
import type { ImageSource } from '../image/image-source.ts';
import { rangeMatches } from '../image/range-check.ts';
import { readSidecar, verifySidecar } from '../image/sidecar.ts';
import { defaultBlockSize } from '../image/verity-builder.ts';
import type { AuthorityOptions } from '../members/index.ts';
import { WrongBlocksError, WrongImageError } from './errors.ts';
import { type ClosableSource, exists } from './file-source.ts';
import { computeDigest } from './image-info.ts';
import { type OpenImage, openImage, readKeyFile } from './image-location.ts';
import { openMembersSource } from './members-source.ts';
import { PrivateFiles, type PrivatePlace } from './private-files.ts';
import { confluentTree } from './private-place.ts';
import { imageName, publishedFile } from './published-names.ts';

export interface ImageToUnpack extends AsyncDisposable {
  readonly name: string;
  readonly source: ImageSource;
  /** On this machine. */
  readonly path: string | undefined;
  readonly digest: ImageDigest | undefined;
  /** @throws WrongBlocksError when these are not the image's bytes. */
  check(range: ByteRange, bytes: Uint8Array): void;
  /** Keys that may open it, the likeliest first. */
  keys(): Promise<Uint8Array[]>;
}

export interface SourceOptions extends AuthorityOptions, PrivatePlace {
  digest?: ImageDigest | undefined;
  /** Any of them may be its key; without one those of the profile are tried. */
  keyFiles?: readonly string[] | undefined;
  allowUnverified?: boolean | undefined;
  /** Told what is the matter with members. */
  onTrouble: (line: string) => void;
}

/** @param given a profile's name in confluent's tree, its directory, a file; or the URLs of one image. @throws UsageError when that is none; as reading does. */
export async function openToUnpack(given: readonly string[], options: SourceOptions): Promise<ImageToUnpack> {
  const [first = '', ...others] = given;
  const urls = given.filter(isFileUrl);
  if (urls.length === given.length && urls.length > 0) return ofMembers(urls, options);
  if (others.length > 0) throw new UsageError(`${others.join(' ')}: name one image, or its URLs at several members`);
  return ofFile(await fileOf(first, options), options);
}

/** Of a profile, by its name or its directory; undefined when `given` is neither. */
export async function profileImage(given: string, { tree = confluentTree }: PrivatePlace): Promise<string | undefined> {
  const profile = join(tree, 'public/os', given);
  if (!given.includes('/') && (await exists(profile))) return join(profile, imageName);
  return (await exists(join(given, imageName))) ? join(given, imageName) : undefined;
}

async function fileOf(given: string, options: PrivatePlace): Promise<string> {
  const { tree = confluentTree } = options;
  const profile = await profileImage(given, options);
  if (profile !== undefined) return profile;
  const found = await stat(given).catch(() => undefined);
  if (found?.isDirectory()) throw new UsageError(`${given}: there is no ${imageName} in it`);
  if (found !== undefined || given.includes('/')) return given;
  throw new UsageError(`${given}: there is no such file, and no such profile in ${tree}/public/os`);
}

async function ofFile(path: string, options: SourceOptions): Promise<ImageToUnpack> {
  // As it is now: a pack may replace the link meanwhile.
  const file = await publishedFile(path).catch(() => path);
  const image = await openImage(file, {}, options.digest);
  try {
    const { digest, check } = await verification(image, options);
    return {
      ...{ name: image.name, source: image.source, path: image.name, digest, check },
      keys: () => keysBeside(image.name, digest, options),
      [Symbol.asyncDispose]: () => image[Symbol.asyncDispose](),
    };
  } catch (error) {
    await image[Symbol.asyncDispose]();
    throw error;
  }
}

async function verification(
  { name, source, sidecar }: OpenImage,
  { digest }: SourceOptions,
): Promise<Pick<ImageToUnpack, 'digest' | 'check'>> {
  const bytes = await sidecar();
  if (bytes === undefined) {
    if (digest !== undefined) await insistOn(digest, source);
    return { digest, check: () => {} };
  }
  const tree = digest === undefined ? readSidecar(bytes) : verifySidecar(bytes, digest);
  if (tree.imageSize !== source.size)
    throw new ImageFormatError(
      `${name} has ${source.size} bytes, its fs-verity sidecar is for one of ${tree.imageSize}: copy both again, the image is not whole or another`,
    );
  return {
    digest: tree.digest,
    check(range, found) {
      if (!rangeMatches(tree, range, found)) throw new WrongBlocksError(`${name} (${describeRange(range)})`, 1);
    },
  };
}

async function insistOn(digest: ImageDigest, source: ImageSource): Promise<void> {
  const found = await computeDigest(source, defaultBlockSize);
  if (found !== digest) throw new WrongImageError(digest, found, defaultBlockSize);
}

async function ofMembers(given: readonly string[], options: SourceOptions): Promise<ImageToUnpack> {
  const urls = given.map(parseFileUrl);
  const source: ClosableSource & { digest: ImageDigest | undefined } = await openMembersSource(urls, options);
  return {
    ...{ name: urls.map(({ text }) => text).join(', '), source, path: undefined, digest: source.digest },
    // Done as it comes.
    check() {},
    keys: () => givenKeys(options),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

function givenKeys({ keyFiles = [] }: SourceOptions): Promise<Uint8Array[]> {
  return Promise.all(keyFiles.map(readKeyFile));
}

async function keysBeside(
  path: string,
  digest: ImageDigest | undefined,
  options: SourceOptions,
): Promise<Uint8Array[]> {
  if (options.keyFiles !== undefined) return givenKeys(options);
  const files = await PrivateFiles.besides(dirname(path), options);
  return files.keysFor(digest);
}
