/**
 * A mount by libfuse 2 (the package fuse-native): the second transport, for users that are not root, and a measure for the first. Each request comes into
 * JavaScript; reads wait in the store like everybody's. What it cannot do is listed in docs/transports.md.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { errorCode, TetherfsError } from '../base/errors.ts';
import { listMounts } from '../base/mounts.ts';
import type { Store } from '../native/binding.ts';
import { type Attributes, type LibfuseMount, loadFuseNative, type Operations } from './fuse-native.ts';

/** The largest read that libfuse 2 lets the kernel ask for, in bytes: 32 pages. */
export const largestRead = 131_072;

/** How often it is looked whether the kernel has ended the connection, in ms: libfuse tells nobody. */
const lookMs = 200;

/** What the package has room for, of all options together, in bytes. */
const longestSource = 512;

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
}

export interface LibfuseSession {
  device: { major: number; minor: number };
  /** Answers what waits with EIO, and lets go of libfuse. The connection is over, or ends with the process. */
  close(): void;
}

/** @throws TetherfsError LIBFUSE */
export async function mountByLibfuse(store: Store, options: LibfuseOptions): Promise<LibfuseSession> {
  const { mountpoint, onEnded } = options;
  const FuseNative = loadFuseNative();
  const reads = new Set<number>();
  // Without a limit of time: the package would answer ETIMEDOUT after 15 s.
  const fuse = new FuseNative(mountpoint, operations(store, options, reads), { timeout: false });
  Object.assign(fuse, { _fuseOptions: () => `-o${mountWords(options).join(',')}` });
  // It would have a shell run fusermount, for a mount that is gone already.
  FuseNative.unmount = (_path, answer) => answer(null);
  const before = deviceDescriptors();
  await mount(fuse, mountpoint);
  const [descriptor = ''] = deviceDescriptors().filter((name) => !before.includes(name));
  const listed = listMounts().findLast((found) => found.mountpoint === mountpoint && found.type === 'fuse.tetherfs');
  if (listed === undefined)
    throw new TetherfsError('LIBFUSE', `${mountpoint} is mounted, but not listed by the kernel`);
  const [major = 0, minor = 0] = listed.device.split(':').map(Number);
  const close = () => {
    clearInterval(timer);
    store.cancelReads(constants.errno.EIO);
    fuse.unmount(() => {});
  };
  const isListed = () => listMounts().some(({ device }) => device === listed.device);
  const wasShown = requestsWaiting(minor) !== undefined;
  let aborted = false;
  const timer = setInterval(() => {
    if (!isFuseDevice(descriptor)) {
      clearInterval(timer);
      onEnded(aborted || isListed() ? constants.errno.ECONNABORTED : 0);
    } else if (reads.size > 0 && wasShown && (requestsWaiting(minor) ?? 0) === 0) {
      // The kernel has given up what libfuse's threads wait for: they end when they are answered.
      aborted = true;
      store.cancelReads(constants.errno.EIO);
    }
  }, lookMs);
  return { device: { major, minor }, close };
}

function mount(fuse: LibfuseMount, mountpoint: string): Promise<void> {
  return new Promise((resolve, reject) => {
    fuse.mount((cause) => {
      if (cause === null) resolve();
      else {
        const isRoot = process.geteuid?.() === 0;
        const hint = /in use/.test(cause.message)
          ? 'a file system is mounted there already, on which the package mounts nothing: give a directory in it'
          : isRoot
            ? 'is there a /dev/fuse, and may root mount here (a container: CAP_SYS_ADMIN)?'
            : 'is fusermount installed (Debian: fuse3), and the directory yours?';
        reject(
          new TetherfsError('LIBFUSE', `libfuse cannot mount on ${mountpoint}: ${hint} (${cause.message})`, { cause }),
        );
      }
    });
  });
}

/** mount.fuse(8); escaped as libfuse's fuse_opt_parse takes them apart. */
function mountWords({ source, pageCache }: LibfuseOptions): string[] {
  const isRoot = process.geteuid?.() === 0;
  return [
    `fsname=${source.slice(0, longestSource).replace(/[\\,]/g, '\\$&')}`,
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
    ...(isRoot ? ['allow_other'] : []),
  ];
}

/** One directory, one file; inode numbers as native/fuse_session.c has them. */
function operations(store: Store, options: LibfuseOptions, reads: Set<number>): Operations {
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
  let numbers = 0;
  return {
    getattr(asked, answer) {
      if (asked === '/') answer(0, directory);
      else if (asked === path) answer(0, file);
      else answer(-constants.errno.ENOENT);
    },
    readdir: (_asked, answer) => answer(0, ['.', '..', fileName]),
    statfs: (_asked, answer) =>
      answer(0, { bsize: blksize, frsize: blksize, blocks: Math.ceil(fileSize / blksize), files: 2, namemax: 255 }),
    read(_asked, _descriptor, buffer, length, offset, answer) {
      const number = numbers++;
      reads.add(number);
      const settle = (result: number) => {
        reads.delete(number);
        answer(result);
      };
      store.read(offset, buffer.subarray(0, length)).then(settle, (error: unknown) => settle(-errnoOf(error)));
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
