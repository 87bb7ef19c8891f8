/** Programs of the initramfs. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { errorCode, shownText, TetherfsError } from '../base/errors.ts';

export interface RunOptions {
  /** For standard input: a secret belongs there, never among the words, which everybody can read. */
  input?: string;
  /** What brings the program, for whoever has to add it to the image. */
  package: string;
  /** Exit statuses of one that has done what it should; 0 unless said otherwise. */
  done?: readonly number[];
  /** Kills it. */
  signal?: AbortSignal;
}

/** @returns what it printed. @throws TetherfsError PROGRAM with its first words when it fails, INITRAMFS when it is not there. */
export async function run(program: string, words: readonly string[], options: RunOptions): Promise<string> {
  const child = spawn(program, words, {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  options.signal?.addEventListener('abort', kill);
  const ended = new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
  // Whoever ends early does not want it.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  try {
    const [status, output, complaint] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
    if (status !== null && (options.done ?? [0]).includes(status)) return output;
    const why = shownText(complaint || output, 300) || `exit status ${status ?? 'unknown'}`;
    throw new TetherfsError('PROGRAM', `${program}: ${why}`);
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw cause;
    throw new TetherfsError(
      'INITRAMFS',
      `${program} is not in the initramfs: install ${options.package} in the image, and make its initramfs again`,
      { cause },
    );
  } finally {
    options.signal?.removeEventListener('abort', kill);
  }
}

/** Loads a kernel module. One that is built in, or is not there, is not told apart: what needs it says what it misses. */
export async function loadModule(name: string): Promise<void> {
  await run('modprobe', ['-q', name], { package: 'kmod' }).catch(() => {});
}
