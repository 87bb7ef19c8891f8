/** Runs Debian's mksquashfs (package squashfs-tools): a directory becomes one squashfs file. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { describeError, errorCode } from '../base/errors.ts';
import { watchReading } from './bytes-read.ts';
import type { Cover } from './covers.ts';
import { PackError } from './errors.ts';

export const compressions = ['zstd', 'xz', 'gzip', 'lz4'] as const;
export type Compression = (typeof compressions)[number];

export interface MksquashfsOptions {
  compression: Compression;
  /** To pack not what is seen of the tree, but a view of it. */
  view: View | undefined;
  /** A file that says which paths are left out, one a line; undefined: none. */
  excludeFile?: string | undefined;
  /** A file that says which files are written first (sort-file.ts); undefined: the order of the directories. */
  sortFile?: string | undefined;
  /** Bytes that it has read, now and then: about as many as the tree has. */
  onRead?: ((bytes: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface View {
  /** An empty directory. */
  readonly at: string;
  /** Whether with what is mounted in the tree. */
  readonly withMounts: boolean;
  readonly covers: readonly Cover[];
}

/**
 * Runs mksquashfs on a bind mount of the tree, in mounts of its own, which end with it: such a mount shows the tree and not what is mounted in it; the
 * covers are mounted over its files. (mksquashfs' own -one-file-system loses the mountpoints, and does not see mounts of the same file system.)
 */
const inView = [
  ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
  `mount "$1" -- "$2" "$3" && view=$3 && shift 3 || exit
while [ "$1" != -- ]; do
  mount --bind -- "$1" "$view$2" && shift 2 || exit
done
shift && cd / && exec mksquashfs "$view" "$@"`,
  'view',
];

function viewed(directory: string, { at, withMounts, covers }: View): string[] {
  const how = withMounts ? '--rbind' : '--bind';
  const mounts = covers.flatMap(({ file, path }) => (file === undefined ? [] : [file, path]));
  return [...inView, how, directory, at, ...mounts, '--'];
}

/** Said for POSIX ACLs, which squashfs cannot hold: not a failure, but the user should know. */
const warning = /^Unrecognised xattr prefix/;

/**
 * Everything below `directory`, extended attributes included, into the file `output`; reproducible when SOURCE_DATE_EPOCH is
 * set, which mksquashfs reads itself. Without -exit-on-error it would store an empty file for each that it cannot read.
 * Returns mksquashfs's warnings, each once. @throws PackError, Error ENOSPC
 */
export async function mksquashfs(directory: string, output: string, options: MksquashfsOptions): Promise<string[]> {
  const { compression, view, excludeFile, sortFile, onRead, signal } = options;
  const flags = ['-noappend', '-xattrs', '-exit-on-error', '-comp', compression, '-quiet', '-no-progress'];
  if (sortFile !== undefined) flags.push('-sort', sortFile);
  if (excludeFile !== undefined) flags.push('-ef', excludeFile);
  const [program = '', ...words] = view === undefined ? ['mksquashfs', directory] : viewed(directory, view);
  words.push(output, ...flags);
  const child = spawn(program, words, {
    stdio: ['ignore', 'ignore', 'pipe'],
    killSignal: 'SIGKILL',
    ...(signal === undefined ? {} : { signal }),
  });
  const messages = text(child.stderr);
  let failure: unknown;
  child.on('error', (error) => {
    failure = error;
  });
  const unwatch = watchReading(child.pid, onRead);
  // `close` comes after `error` too, when the child is gone: nobody writes to `output` any more.
  const [status, ended] = await new Promise<[number | null, NodeJS.Signals | null]>((settle) =>
    child.on('close', (...how) => settle(how)),
  );
  unwatch();
  if (errorCode(failure) === 'ENOENT') throw notInstalled();
  if (failure !== undefined)
    throw new PackError(`cannot run mksquashfs: ${describeError(failure)}`, { cause: failure });
  const lines = (await messages).split('\n').filter((line) => line.trim() !== '');
  const isWarning = (line: string) => warning.test(line);
  if (status !== 0) {
    if (view !== undefined && status === 127) throw notInstalled();
    const words = lines.find((line) => !isWarning(line))?.replaceAll(view?.at ?? directory, directory);
    const reason =
      words ?? `it ended with ${ended === null ? `status ${status}` : `${ended}: was there enough memory?`}`;
    if (/No space left on device/.test(lines.join('\n'))) throw Object.assign(new Error(reason), { code: 'ENOSPC' });
    if (view !== undefined && /^(unshare|mount): /.test(reason)) {
      const files = view.covers.map(({ path }) => path).join(', ');
      const ways =
        files === '' ? 'unmount it, say --include-mounts' : `unmount it, and say --keep for each of ${files}`;
      throw new PackError(
        `cannot look at the tree without what is mounted in it and what each machine has of its own (${reason}): ${ways}, or pack where mounts may be made`,
      );
    }
    throw new PackError(`mksquashfs failed: ${reason}`);
  }
  return [...new Set(lines.filter(isWarning))];
}

function notInstalled(): PackError {
  return new PackError('mksquashfs is not installed (Debian package squashfs-tools)');
}
