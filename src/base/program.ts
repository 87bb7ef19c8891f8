/** Another program, run to its end. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { errorCode, shownText, TetherfsError } from './errors.ts';

export interface ProgramOptions {
  /** For standard input: a secret belongs there, never among the words or into the environment, which others can read. */
  input?: string;
  /** Its environment; ours when it is not said. */
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Exit statuses of one that has done what it should; 0 unless said otherwise. */
  done?: readonly number[];
  /** Kills it. */
  signal?: AbortSignal;
  /** Told what it prints, as it comes. */
  onOutput?: (text: string) => void;
  /** What is thrown when it is not there. */
  missing: (cause: unknown) => TetherfsError;
}

/** Runs it; tests pass another that looks at what it is given. */
export type RunProgram = (program: string, words: readonly string[], options: ProgramOptions) => Promise<string>;

/** @returns what it printed. @throws TetherfsError PROGRAM with its first words when it fails, `missing` when it is not there. */
export const runProgram: RunProgram = async (program, words, options) => {
  const { input = '', env, cwd, done = [0], signal, onOutput, missing } = options;
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], env, cwd });
  const kill = () => child.kill('SIGKILL');
  signal?.addEventListener('abort', kill);
  if (onOutput !== undefined) child.stdout.setEncoding('utf8').on('data', onOutput);
  const ended = new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
  // Whoever ends early does not want it.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  try {
    const [status, output, complaint] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
    if (status !== null && done.includes(status)) return output;
    const why = shownText(complaint || output, 300) || `exit status ${status ?? 'unknown'}`;
    throw new TetherfsError('PROGRAM', `${program}: ${why}`);
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw cause;
    throw missing(cause);
  } finally {
    signal?.removeEventListener('abort', kill);
  }
};
