/** Runs Debian's mksquashfs (package squashfs-tools): a directory becomes one squashfs file. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { describeError, errorCode } from '../base/errors.ts';
import { PackError } from './errors.ts';

export const compressions = ['zstd', 'xz', 'gzip', 'lz4'] as const;
export type Compression = (typeof compressions)[number];

export interface MksquashfsOptions {
  compression: Compression;
  /** An empty directory for a view of the tree without what is mounted in it; undefined to pack it as it is seen. */
  viewAt: string | undefined;
  /** A file that says which files are written first (sort-file.ts); undefined: the order of the directories. */
  sortFile?: string | undefined;
  /** Whether mksquashfs may draw its progress bar on our standard error. */
  showProgress: boolean;
  signal?: AbortSignal | undefined;
}

/**
 * Runs mksquashfs on a bind mount of the tree, in mounts of its own, which end with it: such a mount shows the tree and not what is mounted in it.
 * (mksquashfs' own -one-file-system loses the mountpoints, and does not see mounts of the same file system.)
 */
const inView = [
  ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
  'mount --bind -- "$1" "$2" && cd / && shift && exec mksquashfs "$@"',
  'mksquashfs',
];

/** Said for POSIX ACLs, which squashfs cannot hold: not a failure, but the user should know. */
const warning = /^Unrecognised xattr prefix/;

/**
 * Everything below `directory`, extended attributes included, into the file `output`; reproducible when SOURCE_DATE_EPOCH is
 * set, which mksquashfs reads itself. Without -exit-on-error it would store an empty file for each that it cannot read.
 * Returns mksquashfs's warnings, each once. @throws PackError, Error ENOSPC
 */
export async function mksquashfs(directory: string, output: string, options: MksquashfsOptions): Promise<string[]> {
  const { compression, viewAt, sortFile, showProgress, signal } = options;
  const flags = ['-noappend', '-xattrs', '-exit-on-error', '-comp', compression, '-quiet'];
  if (sortFile !== undefined) flags.push('-sort', sortFile);
  if (!showProgress) flags.push('-no-progress');
  const plain = ['mksquashfs', directory, output, ...flags];
  const [program = '', ...words] = viewAt === undefined ? plain : [...inView, directory, viewAt, output, ...flags];
  const child = spawn(program, words, {
    stdio: ['ignore', showProgress ? process.stderr : 'ignore', 'pipe'],
    killSignal: 'SIGKILL',
    ...(signal === undefined ? {} : { signal }),
  });
  const messages = text(child.stderr);
  let failure: unknown;
  child.on('error', (error) => {
    failure = error;
  });
  // `close` comes after `error` too, when the child is gone: nobody writes to `output` any more.
  const [status, ended] = await new Promise<[number | null, NodeJS.Signals | null]>((settle) =>
    child.on('close', (...how) => settle(how)),
  );
  if (errorCode(failure) === 'ENOENT')
    throw new PackError('mksquashfs is not installed (Debian package squashfs-tools)');
  if (failure !== undefined)
    throw new PackError(`cannot run mksquashfs: ${describeError(failure)}`, { cause: failure });
  const lines = (await messages).split('\n').filter((line) => line.trim() !== '');
  const isWarning = (line: string) => warning.test(line);
  if (status !== 0) {
    const reason =
      lines.find((line) => !isWarning(line)) ??
      `it ended with ${ended === null ? `status ${status}` : `${ended}: was there enough memory?`}`;
    if (/No space left on device/.test(lines.join('\n'))) throw Object.assign(new Error(reason), { code: 'ENOSPC' });
    if (/^(unshare|mount): /.test(reason)) {
      const ways = 'unmount it, say --include-mounts, or pack where mounts may be made';
      throw new PackError(`cannot look at the tree without what is mounted in it (${reason}): ${ways}`);
    }
    throw new PackError(`mksquashfs failed: ${reason}`);
  }
  return [...new Set(lines.filter(isWarning))];
}
