/**
 * A mount by libfuse 2 (the package fuse-native): the second transport, for users that are not root, and a measure for the first. Each request comes into
 * JavaScript; reads wait in the store like everybody's. What it cannot do is listed in docs/transports.md.
 */
import { accessSync, constants as constantsOfFiles, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { errorCode, TetherfsError } from '../base/errors.ts';
import { isDead, type ListedMount, listMounts } from '../base/mounts.ts';
import { loadBinding, type Store } from '../native/binding.ts';
import { detach } from './detach.ts';
import { type Attributes, type LibfuseMount, loadFuseNative, type Operations } from './fuse-native.ts';

/** The largest read that libfuse 2 lets the kernel ask for, in bytes: 32 pages. */
export const largestRead = 131_072;

/** How often it is looked whether the kernel has ended the connection, in ms: libfuse tells nobody. */
const lookMs = 200;

/** What the package has room for, in bytes: of the mountpoint, and of all options together. */
const longestName = 1023;

/** The kernel's first word (INIT) comes at once, or never; ms. */
const initMs = 10_000;

/** So many threads of libfuse's that came and went make it slower by itself: the package keeps something of each, and looks through all at every request. */
const manyThreads = 1_000;

export interface LibfuseOptions {
  /** An absolute path. */
  mountpoint: string;
  fileName: string;
  /** First column of /proc/mounts. */
  source: string;
  /** Seconds since 1970. */
  mtime: number;
  fileSize: number;
  /** Whether the file shows what was encrypted: then it is its owner's alone. */
  decrypts: boolean;
  pageCache: 'keep' | 'none';
  /** Told once, with 0 or the errno that ended it. */
  onEnded: (errno: number) => void;
  /** Told once, when so many threads have come and gone that every request is slower for it. */
  onWorn: (threads: number) => void;
}

export interface LibfuseSession {
  device: { major: number; minor: number };
  /** Answers what waits with EIO, and lets go of libfuse. The connection is over, or ends with the process. */
  close(): void;
}

/** @throws TetherfsError LIBFUSE; nothing is mounted then. */
export async function mountByLibfuse(store: Store, options: LibfuseOptions): Promise<LibfuseSession> {
  const { mountpoint, onEnded } = options;
  if (Buffer.byteLength(mountpoint) > longestName)
    throw new TetherfsError(
      'LIBFUSE',
      `the package has room for a mountpoint of ${longestName} bytes: give a shorter one`,
    );
  const FuseNative = loadFuseNative();
  let reads = 0;
  const count = (change: number) => {
    reads += change;
  };
  // Without a limit of time: the package would answer ETIMEDOUT after 15 s.
  const fuse = new FuseNative(mountpoint, operations(store, options, count), { timeout: false });
  fuse._fuseOptions = () => mountWords(options);
  countThreads(fuse, options.onWorn);
  // It would have a shell run fusermount, for a mount that is gone already.
  FuseNative.unmount = (_path, answer) => answer(null);
  const before = deviceDescriptors();
  const letGo = () => {
    store.cancelReads(constants.errno.EIO);
    fuse.unmount(() => {});
  };
  const listed = await mount(fuse, mountpoint).catch(async (error: unknown) => {
    if (deviceDescriptors().length > before.length) {
      // It may be dead, or not be there at all: what matters is that it is gone.
      await detach(mountpoint, 'lazy').catch(() => {});
      letGo();
    }
    throw error;
  });
  // Else a program that we start would keep the connection after our death, and readers would wait instead of being told.
  loadBinding().closeOnExec();
  const [descriptor = ''] = deviceDescriptors().filter((name) => !before.includes(name));
  const [major = 0, minor = 0] = listed.device.split(':').map(Number);
  const wasShown = requestsWaiting(minor) !== undefined;
  let aborted = false;
  const timer = setInterval(() => {
    if (!isFuseDevice(descriptor)) {
      clearInterval(timer);
      void whatEnded(listed.device, aborted).then(onEnded);
    } else if (reads > 0 && wasShown && (requestsWaiting(minor) ?? 0) === 0) {
      // The kernel has given up what libfuse's threads wait for: they end when they are answered.
      aborted = true;
      store.cancelReads(constants.errno.EIO);
    }
  }, lookMs);
  const close = () => {
    clearInterval(timer);
    letGo();
  };
  return { device: { major, minor }, close };
}

/** @throws TetherfsError LIBFUSE: it may be mounted all the same. */
async function mount(fuse: LibfuseMount, mountpoint: string): Promise<ListedMount> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const late = setTimeout(() => reject(new Error('the kernel does not answer: INIT')), initMs);
  fuse.mount((error) => (error === null ? resolve() : reject(error)));
  try {
    await promise;
  } catch (cause) {
    const what = `libfuse cannot mount on ${mountpoint}: ${whyNot(String(cause))}`;
    throw new TetherfsError('LIBFUSE', what, { cause });
  } finally {
    clearTimeout(late);
  }
  const listed = listMounts().findLast((found) => found.mountpoint === mountpoint && found.type === 'fuse.tetherfs');
  if (listed !== undefined) return listed;
  throw new TetherfsError('LIBFUSE', `${mountpoint} is mounted, but not listed by the kernel`);
}

function whyNot(said: string): string {
  return `${hintOf(said)} (${said.replace(/^Error: /, '')})`;
}

function hintOf(said: string): string {
  if (/in use/.test(said))
    return 'a file system is mounted there already, on which the package mounts nothing: give a directory in it';
  try {
    accessSync('/dev/fuse', constantsOfFiles.R_OK | constantsOfFiles.W_OK);
  } catch (error) {
    return errorCode(error) === 'ENOENT'
      ? 'there is no /dev/fuse (modprobe fuse; a container must be given it)'
      : '/dev/fuse is closed to you, which udev opens to everybody (chmod 666 /dev/fuse)';
  }
  return process.geteuid?.() === 0
    ? 'may root mount here (a container: CAP_SYS_ADMIN)?'
    : 'is fusermount installed (Debian: fuse3), and the directory yours?';
}

/** An unmounted one is not listed; or its number is another's by now, that lives. */
async function whatEnded(device: string, aborted: boolean): Promise<number> {
  const places = listMounts().filter((found) => found.device === device && found.type === 'fuse.tetherfs');
  const dead = await Promise.all(places.map(({ mountpoint }) => isDead(mountpoint)));
  return aborted || dead.includes(true) ? constants.errno.ECONNABORTED : 0;
}

function countThreads(fuse: LibfuseMount, onWorn: (threads: number) => void): void {
  const malloc = fuse._malloc.bind(fuse);
  let threads = 0;
  fuse._malloc = (size) => {
    threads++;
    if (threads === manyThreads) onWorn(threads);
    return malloc(size);
  };
}

/** mount.fuse(8). */
function mountWords({ source, pageCache }: LibfuseOptions): string {
  const words = [
    'subtype=tetherfs',
    'ro',
    'nonempty',
    'default_permissions',
    'use_ino',
    'entry_timeout=31536000',
    'attr_timeout=31536000',
    'negative_timeout=31536000',
    `max_read=${largestRead}`,
    pageCache === 'none' ? 'direct_io' : 'kernel_cache',
    // Others may use what a user mounts only where the administrator says so (user_allow_other in fuse.conf).
    ...(process.geteuid?.() === 0 ? ['allow_other'] : []),
  ];
  // The name comes last: it has what room is left.
  const text = `-o${words.join(',')},fsname=`;
  return text + escapedUpTo(source, longestName - text.length);
}

/** As libfuse's fuse_opt_parse takes it apart, in at most so many bytes. */
function escapedUpTo(name: string, longest: number): string {
  let text = '';
  for (const character of name) {
    const next = text + character.replace(/[\\,]/, '\\$&');
    if (Buffer.byteLength(next) > longest) break;
    text = next;
  }
  return text;
}

/** One directory, one file; inode numbers as native/fuse_session.c has them. */
function operations(store: Store, options: LibfuseOptions, count: (change: number) => void): Operations {
  const { fileName, fileSize, mtime, decrypts } = options;
  const path = `/${fileName}`;
  const blksize = 4096;
  const times = { atime: mtime * 1000, mtime: mtime * 1000, ctime: mtime * 1000 };
  const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const directory: Attributes = { ...times, ...owner, mode: 0o040_555, size: 0, ino: 1, nlink: 2, blksize, blocks: 0 };
  const file: Attributes = {
    ...times,
    ...owner,
    mode: decrypts ? 0o100_400 : 0o100_444,
    size: fileSize,
    ino: 2,
    nlink: 1,
    blksize,
    blocks: Math.ceil(fileSize / 512),
  };
  return {
    getattr(asked, answer) {
      if (asked === '/') answer(0, directory);
      else if (asked === path) answer(0, file);
      else answer(-constants.errno.ENOENT);
    },
    readdir: (_asked, answer) => answer(0, ['.', '..', fileName], [directory, directory, file]),
    statfs: (_asked, answer) =>
      answer(0, { bsize: blksize, frsize: blksize, blocks: Math.ceil(fileSize / blksize), files: 2, namemax: 255 }),
    read(_asked, _descriptor, buffer, length, offset, answer) {
      count(1);
      const settle = (result: number) => {
        count(-1);
        answer(result);
      };
      // What lies far behind the end the store takes for a mistake.
      const bytes = async () => (offset >= fileSize ? 0 : await store.read(offset, buffer.subarray(0, length)));
      bytes().then(settle, (error: unknown) => settle(-errnoOf(error)));
    },
  };
}

function errnoOf(error: unknown): number {
  const byName: Record<string, number> = constants.errno;
  return byName[errorCode(error) ?? ''] ?? constants.errno.EIO;
}

/** Our descriptors of /dev/fuse. */
function deviceDescriptors(): string[] {
  return readdirSync('/proc/self/fd').filter(isFuseDevice);
}

function isFuseDevice(descriptor: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`) === '/dev/fuse';
  } catch {
    return false;
  }
}

/** How many requests of the connection are not answered; undefined when there is none, or the kernel does not show it. Documentation/filesystems/fuse.rst. */
function requestsWaiting(minor: number): number | undefined {
  try {
    return Number(readFileSync(`/sys/fs/fuse/connections/${minor}/waiting`, 'utf8'));
  } catch {
    return undefined;
  }
}
