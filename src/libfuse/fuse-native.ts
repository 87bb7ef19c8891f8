/**
 * The package fuse-native (libfuse 2 from JavaScript), as far as it is used here; its own types are none. It is loaded when somebody asks for it, because
 * it needs Debian's libfuse2 and has no build for arm64.
 */
import { createRequire } from 'node:module';
import { describeError, errorCode, TetherfsError } from '../base/errors.ts';

/** As stat(2) has them; times in ms since 1970. */
export interface Attributes {
  mode: number;
  uid: number;
  gid: number;
  size: number;
  ino: number;
  nlink: number;
  blksize: number;
  blocks: number;
  atime: number;
  mtime: number;
  ctime: number;
}

/** What a filesystem does. `result` is 0 or a negative errno; of `read`, the number of bytes. */
export interface Operations {
  getattr(path: string, answer: (result: number, attributes?: Attributes) => void): void;
  readdir(path: string, answer: (result: number, names?: string[], attributes?: Attributes[]) => void): void;
  statfs(path: string, answer: (result: number, numbers?: Record<string, number>) => void): void;
  /** `buffer` is libfuse's memory, and may be written to until it is answered. */
  read(
    path: string,
    descriptor: number,
    buffer: Buffer,
    length: number,
    offset: number,
    answer: (result: number) => void,
  ): void;
}

/** One mount. What begins with an underscore is not documented by the package, which is pinned. */
export interface LibfuseMount {
  /** Words for libfuse: `-oWORD,WORD…`, of at most 1023 bytes. */
  _fuseOptions(): string;
  /** Makes room for what the package keeps of each thread that libfuse starts. */
  _malloc(size: number): Buffer;
  /** Mounts, and starts libfuse's threads; answers when the kernel has said what it can (INIT). */
  mount(answer: (error: Error | null) => void): void;
  /** Lets the package's hold of the event loop go. It unmounts first, by `FuseNative.unmount`. */
  unmount(answer: (error: Error | null) => void): void;
}

interface FuseNative {
  new (mountpoint: string, operations: Operations, options: { timeout: false }): LibfuseMount;
  unmount(mountpoint: string, answer: (error: Error | null) => void): void;
}

/** @throws TetherfsError LIBFUSE when the package or the library is not there. */
export function loadFuseNative(): FuseNative {
  try {
    return createRequire(import.meta.filename)('fuse-native') as FuseNative;
  } catch (cause) {
    const what =
      errorCode(cause) === 'MODULE_NOT_FOUND'
        ? 'the npm package fuse-native is not here (a runtime has none: use a checkout)'
        : describeError(cause).includes('libfuse.so.2')
          ? 'the library libfuse.so.2 is missing: install it (Debian: apt-get install libfuse2)'
          : `fuse-native cannot be loaded: ${describeError(cause)}`;
    throw new TetherfsError('LIBFUSE', `--transport libfuse: ${what}`, { cause });
  }
}
