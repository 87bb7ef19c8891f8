/** Runs Debian's unsquashfs (package squashfs-tools): a squashfs file becomes a directory. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describeError, errorCode, shownText } from '../base/errors.ts';
import { UnpackError } from './errors.ts';

export interface UnsquashfsOptions {
  /** Where the squashfs begins in the file, in bytes. */
  offset: number;
  /** Extended attributes, capabilities among them. */
  xattrs: boolean;
  /** How far in the file it has read, in bytes. */
  onRead?: ((offset: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

const lookEveryMs = 250;
/** As the child sees the file. */
const itsFile = 3;

/**
 * Everything of the squashfs in the open file `image` into `directory`, which must not exist: nothing that is there could lead elsewhere.
 * @throws UnpackError, Error ENOSPC, AbortError
 */
export async function unsquashfs(image: number, directory: string, options: UnsquashfsOptions): Promise<void> {
  const { offset, xattrs, onRead, signal } = options;
  const flags = ['-no-progress', '-quiet', '-strict-errors', xattrs ? '-xattrs' : '-no-xattrs'];
  const words = [...flags, '-offset', String(offset), '-dest', directory, `/proc/self/fd/${itsFile}`];
  // Ended with us, however we end: else it would go on writing beside the next run.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'unsquashfs', ...words], {
    stdio: ['ignore', 'pipe', 'pipe', image],
    killSignal: 'SIGKILL',
    ...(signal === undefined ? {} : { signal }),
  });
  const watch = setInterval(() => {
    const at = child.pid === undefined ? undefined : readOffset(child.pid);
    if (at !== undefined) onRead?.(at);
  }, lookEveryMs);
  let failure: unknown;
  child.on('error', (error) => {
    failure = error;
  });
  const closed = new Promise<[number | null, NodeJS.Signals | null]>((settle) =>
    child.on('close', (...how) => settle(how)),
  );
  const [[status, ended], said, complaint] = await Promise.all([closed, allOf(child.stdout), allOf(child.stderr)]);
  clearInterval(watch);
  signal?.throwIfAborted();
  if (status === 127 || errorCode(failure) === 'ENOENT')
    throw new UnpackError('unsquashfs is not installed (Debian package squashfs-tools)');
  if (failure !== undefined)
    throw new UnpackError(`cannot run unsquashfs: ${describeError(failure)}`, { cause: failure });
  if (status === 0) return;
  const lines = `${complaint}\n${said}`.split('\n').filter((line) => line.trim() !== '');
  if (lines.some((line) => line.includes('No space left on device')))
    throw Object.assign(new Error('no room'), { code: 'ENOSPC' });
  const why = shownText(lines[0] ?? '', 300).replaceAll(directory, '');
  throw new UnpackError(
    `unsquashfs failed: ${why || `it ended with ${ended ?? `status ${status}`}: was there enough memory?`}`,
  );
}

/** With more than three files of its own, spawn's type does not tell that these are pipes. */
function allOf(stream: Readable | null): Promise<string> {
  return stream === null ? Promise.resolve('') : text(stream);
}

/** Where the process has come to in the file that we gave it (proc(5), fdinfo); it opens that again. */
function readOffset(pid: number): number | undefined {
  try {
    const given = readlinkSync(`/proc/${pid}/fd/${itsFile}`);
    const own = readdirSync(`/proc/${pid}/fd`).find(
      (fd) => Number(fd) !== itsFile && readlinkSync(`/proc/${pid}/fd/${fd}`) === given,
    );
    const [, at] =
      /^pos:\s*(\d+)/m.exec(own === undefined ? '' : readFileSync(`/proc/${pid}/fdinfo/${own}`, 'utf8')) ?? [];
    return at === undefined ? undefined : Number(at);
  } catch {
    return undefined;
  }
}
