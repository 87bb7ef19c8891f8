/** Another member, reached by ssh: its tree of images, rsync into it, commands on it. One connection serves all of one visit, so that a password is asked for once. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TetherfsError, UsageError } from '../base/errors.ts';
import type { RunProgram } from '../base/program.ts';
import { quoted } from '../base/shell-word.ts';
import { confluentTree } from './private-place.ts';

export interface RemoteMember {
  /** `[USER@]HOST`, as ssh takes it; an IPv6 address without brackets. */
  readonly login: string;
  /** Where its public and private trees are: absolute. */
  readonly tree: string;
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

/** @throws what `use` does. */
export async function visit<T>(
  { login }: RemoteMember,
  { sshConfig, run, signal }: VisitOptions,
  use: (visit: Visit) => Promise<T>,
): Promise<T> {
  const work = await mkdtemp(join(shortPlace(), 'tetherfs-publish-'));
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
