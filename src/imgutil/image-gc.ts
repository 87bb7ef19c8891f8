/**
 * Removes images that no running node holds from a public directory (published-names.ts), and nothing else. An image goes only when
 * everything speaks for it: nothing points at it, it has been here and out of use for long, and access logs that cover all that time
 * without a doubt hold no request for it. Whenever one of these is not known, it stays.
 */
import { lstat, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, errorCode, pathOf } from '../base/errors.ts';
import { hexOf, type ImageDigest, parseDigest } from '../image/digest.ts';
import { sidecarSuffix } from '../image/sidecar.ts';
import { ImageSourceError } from './errors.ts';
import { heartbeatWithinMs, imageUse } from './image-use.ts';
import { inventory, type PublishedImage } from './inventory.ts';
import type { PrivateFiles } from './private-files.ts';
import { imageName } from './published-names.ts';

export interface GcOptions {
  /** Public: where rootimg.sfs and rootimg-HEX.sfs lie. */
  directory: string;
  /** Where keys and boot orders lie: those of a removed image go with it. */
  privateFiles?: PrivateFiles | undefined;
  /** Access logs of the server on this machine; their rotated siblings are read too. */
  accessLogs: readonly string[];
  /** How long an image must have been out of use, in ms. */
  keepForMs: number;
  /** Kept whatever else is true. */
  keep: readonly ImageDigest[];
  /** Only says what it would do. */
  dryRun: boolean;
  /** ms since 1970. */
  now: number;
}

export interface GcVerdict {
  readonly digest: string;
  /** Of its files, in bytes. */
  readonly size: number;
  readonly removed: boolean;
  readonly why: string;
}

export interface GcResult {
  /** Newest first. */
  readonly images: readonly GcVerdict[];
  /** Lines that are no access log's, by log. */
  readonly unparsable: ReadonlyMap<string, number>;
  /** Why nothing could be removed, whatever the images; empty otherwise. */
  readonly doubts: readonly string[];
  /** What could not be removed, and why. */
  readonly failures: readonly string[];
}

/** What the names without a digest mean now. */
interface Pointers {
  /** Digests that they lead to. */
  readonly hexes: ReadonlySet<string>;
  /** When rootimg.sfs was last made, in ms since 1970; undefined when it leads nowhere. */
  readonly switched: number | undefined;
}

/** @throws ImageSourceError when the directory cannot be read. */
export async function collectGarbage(options: GcOptions): Promise<GcResult> {
  const { directory, accessLogs, keepForMs, dryRun, now } = options;
  const since = now - keepForMs;
  const images = await inventory(directory);
  const pointers = await pointersIn(directory, images);
  const use = await imageUse(accessLogs, since, now);
  const doubts = [...doubtsAbout(directory, pointers, now), ...use.doubts];
  const verdicts: GcVerdict[] = [];
  const failures: string[] = [];
  for (const [index, image] of images.entries()) {
    const { hex, size } = image;
    const newer = images[index - 1];
    let why =
      reasonByName(image, pointers, options) ??
      (doubts.length > 0 ? 'it is not certain that nobody holds it' : undefined) ??
      reasonByTime(image, newer, pointers, since) ??
      reasonByUse(use.lastAsked.get(hex));
    if (why === undefined && !dryRun) {
      why = await remove(options, image).catch((error: unknown) => {
        failures.push(`${pathOf(error) ?? image.files[0]}: ${describeError(error)}`);
        return 'it cannot be removed';
      });
    }
    const removed = why === undefined;
    verdicts.push({ digest: `sha256:${hex}`, size, removed, why: why ?? `nobody asked for it since ${date(since)}` });
  }
  return { images: verdicts, unparsable: use.unparsable, doubts, failures };
}

/** By inode, so that it does not matter what kind of link leads there. */
async function pointersIn(directory: string, images: readonly PublishedImage[]): Promise<Pointers> {
  const leadsTo = new Map<string, string>();
  for (const { hex, files } of images) {
    for (const name of files) {
      const identity = await identityOf(join(directory, name));
      if (identity !== undefined) leadsTo.set(identity, hex);
    }
  }
  const identities = await Promise.all(
    ['', sidecarSuffix].map((suffix) => identityOf(join(directory, imageName + suffix))),
  );
  const hexes = new Set(identities.flatMap((identity) => leadsTo.get(identity ?? '') ?? []));
  const switched = identities[0] === undefined ? undefined : (await lstat(join(directory, imageName))).ctimeMs;
  return { hexes, switched };
}

async function identityOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw new ImageSourceError(`cannot read ${path}: ${describeError(error)}`, { cause: error });
  }
}

function doubtsAbout(directory: string, { switched }: Pointers, now: number): string[] {
  const plain = join(directory, imageName);
  if (switched === undefined) return [`${plain} leads to no image: which one is the newest?`];
  // A node that asks for this name may not have noticed yet, and will ask for its own image by digest when it has.
  if (switched > now - heartbeatWithinMs) {
    return [`${plain} was made at ${date(switched)}, less than two hours ago: not every node may have noticed`];
  }
  return [];
}

function reasonByName({ hex }: PublishedImage, { hexes }: Pointers, { keep }: GcOptions): string | undefined {
  if (hexes.has(hex)) return `${imageName} points at it`;
  return keep.some((digest) => hexOf(digest) === hex) ? 'named by --keep' : undefined;
}

/**
 * An image counts as what rootimg.sfs pointed at until the next newer one came; if that is the one it points at now, until the link was made.
 * So requests for the plain name, which do not say what was read, are a doubt for images of that time alone.
 */
function reasonByTime(
  { arrived }: PublishedImage,
  newer: PublishedImage | undefined,
  { hexes, switched = Number.POSITIVE_INFINITY }: Pointers,
  since: number,
): string | undefined {
  if (arrived >= since) return `it came here only at ${date(arrived)}`;
  const pointedAtUntil = newer === undefined || hexes.has(newer.hex) ? switched : newer.arrived;
  return pointedAtUntil >= since ? `${imageName} may have pointed at it until ${date(pointedAtUntil)}` : undefined;
}

function reasonByUse(lastAsked: number | undefined): string | undefined {
  return lastAsked === undefined ? undefined : `it was asked for at ${date(lastAsked)}`;
}

/** Unless it changed since it was looked at: then why it stays. @throws the error of unlink(2) */
async function remove({ directory, privateFiles }: GcOptions, image: PublishedImage): Promise<string | undefined> {
  const { hexes } = await pointersIn(directory, [image]);
  const [imageFile = '', ...others] = image.files.map((name) => join(directory, name));
  const now = await lstat(imageFile).catch(() => undefined);
  if (hexes.size > 0 || now?.ctimeMs !== image.arrived) return 'it changed just now';
  // The image first: without it nobody begins to use the others. Some of those last: as long as one is there, what was not removed is found again.
  const privates = privateFiles?.of(parseDigest(image.hex)) ?? [];
  for (const path of [imageFile, ...privates, ...others]) await rm(path, { force: true, recursive: true });
  return undefined;
}

function date(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, 'Z');
}
