/** The image as a file: `tetherfs mount`, as anybody calls it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TetherfsError } from '../../base/errors.ts';
import { parseFileUrl } from '../../base/file-url.ts';
import { formatSize, parseSize } from '../../base/size.ts';
import { readStatus } from '../../mount/control-client.ts';
import { availableMemory } from '../../mount/memory-check.ts';
import { defaults, withDefaults } from '../../mount/options.ts';
import { describeProgress } from '../../mount/progress-log.ts';
import { startMount } from '../../mount/start-mount.ts';
import { describeMembers } from '../../mount/status.ts';
import type { SaidMethod } from '../../profile/index.ts';
import { imageControl, imagePlace, isMounted, makePlace } from '../places.ts';
import { loadModule } from '../programs.ts';
import type { BootConsole } from '../step.ts';

/** Where the image is, and how it is to be read. */
export interface BootImage {
  /** URLs. */
  members: readonly [string, ...string[]];
  digest: string | undefined;
  caFile: string | undefined;
  imageMethod: SaidMethod;
}

export interface ImageParts {
  image: BootImage;
  /** Shows the decrypted squashfs; without, the file as it is served. */
  keyFile: string | undefined;
  console: BootConsole;
  signal: AbortSignal;
}

/** @returns the path of the image's file. @throws TetherfsError as the daemon does. */
export async function mountImage({ image, keyFile, console, signal }: ImageParts): Promise<string> {
  const { members, digest, caFile, imageMethod } = image;
  const file = join(imagePlace, parseFileUrl(members[0]).fileName);
  if (isMounted(imagePlace)) return file;
  await loadModule('fuse');
  if (!existsSync('/dev/fuse')) throw new TetherfsError('INITRAMFS', 'this kernel has no FUSE: there is no /dev/fuse');
  const options = withDefaults({
    urls: [...members],
    mountpoint: makePlace(imagePlace),
    control: imageControl(),
    digest,
    caFile,
    keyFile,
    // What is unpacked is read once, in order: RAM is for the tree.
    imageMethod: imageMethod.word === 'uncompressed' ? 'tethered' : imageMethod.method,
    mountTimeout: 0,
    cacheSize: cacheSizeHere(),
  });
  let saidAt = 0;
  await startMount(options, {
    signal,
    onLog: (line) => console.say(line.replace(/^tetherfs: /, '')),
    onProgress(progress) {
      const now = performance.now();
      if (now - saidAt < progressEveryMs) return;
      saidAt = now;
      console.say(describeProgress(progress));
    },
    onWaiting: (line) => console.say(line),
  });
  return file;
}

const progressEveryMs = 5_000;

/** A machine with little memory needs it for more than the cache. */
function cacheSizeHere(): number {
  const quarter = Math.floor(availableMemory() / 4);
  return Math.min(parseSize(defaults.cacheSize, 'the cache'), Math.max(quarter, smallestCache));
}

const smallestCache = 16 * 1024 ** 2;

/** What its readers wait for, while they do. */
export async function explainWaiting(): Promise<string | undefined> {
  const { reads, members } = await readStatus(imageControl());
  if (reads.waiting === 0) return undefined;
  return `${reads.waiting} reads wait for members, the oldest for ${Math.round(reads.oldestWaitMs / 1000)} s: ${describeMembers(members)}`;
}

export function describeImage({ members, digest, imageMethod }: BootImage): string {
  const many = members.length === 1 ? 'one member' : `${members.length} members`;
  return `${imageMethod.word}, from ${many}, ${digest === undefined ? 'not verified: no digest is given' : `every chunk verified against ${digest}`}; ${formatSize(availableMemory())} of memory are available`;
}
