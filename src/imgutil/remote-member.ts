/** Another machine, reached by ssh: commands on it, rsync into it, what it streams to us. One connection serves all of one visit, so that a password is asked for once. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errorCode, TetherfsError, UsageError } from '../base/errors.ts';
import { tellLines } from '../base/lines.ts';
import type { RunProgram } from '../base/program.ts';
import { quoted } from '../base/shell-word.ts';
import { confluentTree } from './private-place.ts';

export interface RemoteMember {
  /** `[USER@]HOST`, as ssh takes it; an IPv6 address without brackets. */
  readonly login: string;
  /** Where its public and private trees are: absolute. */
  readonly tree: string;
}

/** @param given `[USER@]HOST`, an IPv6 address with brackets or without. @throws UsageError */
export function parseLogin(given: string): string {
  const [, user = '', bracketed, host = bracketed] =
    /^([^@:/\s]+@)?(?:\[([0-9a-f:.]+(?:%[^\]\s]+)?)\]|([^@/\s[\]]+))$/i.exec(given) ?? [];
  if (host === undefined || given.startsWith('-') || host.startsWith('-'))
    throw new UsageError(`${given} is no machine that ssh could reach: give [USER@]HOST`);
  return user + host;
}

/** @param given `[USER@]HOST[:TREE]`. @throws UsageError */
export function parseRemoteMember(given: string): RemoteMember {
  const [, user = '', bracketed, host = bracketed, tree = confluentTree] =
    /^([^@:/\s]+@)?(?:\[([0-9a-f:.]+(?:%[^\]\s]+)?)\]|([^@:/\s[\]]+))(?::(.*))?$/i.exec(given) ?? [];
  if (host === undefined || given.startsWith('-'))
    throw new UsageError(`--to ${given}: give [USER@]HOST[:DIRECTORY], an IPv6 address in brackets`);
  if (!tree.startsWith('/'))
    throw new UsageError(`--to ${given}: ${tree} is no absolute path of the member's tree, such as ${confluentTree}`);
  return { login: user + host, tree };
}

export interface VisitOptions {
  /** A file for ssh's -F. */
  sshConfig?: string | undefined;
  run: RunProgram;
  signal?: AbortSignal | undefined;
}

export interface Visit {
  /** Runs a script of sh with words as its $1, $2, … @returns what it printed. @throws TetherfsError PROGRAM */
  script(text: string, ...words: string[]): Promise<string>;
  /**
   * Runs such a script for what it prints, which goes into `output` as it comes; that is ended then. For as long as we live and reach it, its standard input gets a byte every few
   * seconds. @param onLine told each line that it complains. @returns its exit status. @throws TetherfsError as `missing` says; what writing fails with
   */
  stream(text: string, output: Writable, onLine: (line: string) => void): Promise<number>;
  /** `rsync OPTIONS from… HOST:to`. @returns what it printed. @throws TetherfsError PROGRAM */
  rsync(options: readonly string[], from: string, to: string, onOutput?: (text: string) => void): Promise<string>;
}

/** Bytes of the name of a socket, and what ssh puts behind it for a moment. unix(7) */
const longestSocket = 107;
const sshSuffix = 17;

/** For sockets: their names have little room. */
function shortPlace(): string {
  return process.geteuid?.() === 0 ? '/run' : (process.env['XDG_RUNTIME_DIR'] ?? tmpdir());
}

/** Between two bytes that say that we live; ms. */
const beatMs = 5_000;
/** Whoever takes nothing for so long waits perhaps for what we have stopped there ourselves: then we are silent. ms */
const longestStallMs = 60_000;

/** @throws what `use` does. */
export async function visit<T>(
  { login }: Pick<RemoteMember, 'login'>,
  { sshConfig, run, signal }: VisitOptions,
  use: (visit: Visit) => Promise<T>,
): Promise<T> {
  const work = await mkdtemp(join(shortPlace(), 'tetherfs-ssh-'));
  const socket = join(work, 'ssh');
  // Without it each command is a connection, and perhaps a password, of its own.
  const isShort = Buffer.byteLength(socket) + sshSuffix <= longestSocket;
  const settings = {
    ...(isShort ? { ControlMaster: 'auto', ControlPersist: '10', ControlPath: socket } : { ControlMaster: 'no' }),
    ConnectTimeout: '10',
    ServerAliveInterval: '10',
  };
  const ssh = [
    ...(sshConfig === undefined ? [] : ['-F', sshConfig]),
    ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
  ];
  const options = (program: string) => ({
    ...(signal && { signal }),
    missing: (cause: unknown) =>
      new TetherfsError('TOOL', `${program} is missing: install it (Debian: apt-get install rsync openssh-client)`, {
        cause,
      }),
  });
  const atHost = login.includes(':') ? login.replace(/[^@]+$/, '[$&]') : login;
  try {
    return await use({
      script: (text, ...words) =>
        run('ssh', [...ssh, '--', login, ['sh', '-s', '--', ...words].map(quoted).join(' ')], {
          ...options('ssh'),
          input: text,
        }),
      stream: (text, output, onLine) =>
        stream([...ssh, '--', login, ['sh', '-c', text].map(quoted).join(' ')], output, {
          onLine,
          ...options('ssh'),
        }),
      rsync: (words, from, to, onOutput) =>
        run(
          'rsync',
          [
            '--secluded-args',
            `--rsh=${['ssh', ...ssh].map(quoted).join(' ')}`,
            ...words,
            '--',
            from,
            `${atHost}:${to}`,
          ],
          {
            ...options('rsync'),
            ...(onOutput && { onOutput }),
          },
        ),
    });
  } finally {
    await run('ssh', [...ssh, '-O', 'exit', '--', login], options('ssh')).catch(() => {});
    await rm(work, { recursive: true, force: true });
  }
}

interface StreamOptions {
  onLine: (line: string) => void;
  signal?: AbortSignal;
  missing: (cause: unknown) => TetherfsError;
}

async function stream(words: string[], output: Writable, { onLine, signal, missing }: StreamOptions): Promise<number> {
  const child = spawn('ssh', words, { stdio: ['pipe', 'pipe', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  signal?.addEventListener('abort', kill);
  if (signal?.aborted) kill();
  // Whoever has ended does not hear it.
  child.stdin.on('error', () => {});
  let stalledMs = 0;
  const beat = setInterval(() => {
    stalledMs = output.writableNeedDrain ? stalledMs + beatMs : 0;
    if (stalledMs < longestStallMs) child.stdin.write('.');
  }, beatMs);
  tellLines([child.stderr], onLine);
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve(status ?? 128));
  });
  try {
    const [status] = await Promise.all([ended, pipeline(child.stdout, output)]);
    return status;
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') throw missing(cause);
    throw cause;
  } finally {
    clearInterval(beat);
    signal?.removeEventListener('abort', kill);
    child.kill('SIGKILL');
  }
}
