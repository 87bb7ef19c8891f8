/** Programs that fill a tree: in namespaces of their own, which end with them and with us, so that nothing of them is left but files. */
import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { errorCode } from '../base/errors.ts';
import { tellLines } from '../base/lines.ts';
import { quoted } from '../base/shell-word.ts';
import { BuildError } from './errors.ts';
import type { Volume } from './exec.ts';

export interface Installer {
  /** The program. */
  readonly program: string;
  /** Debian's package that brings it. */
  readonly package: string;
  /** Lines that tell why it failed. */
  readonly reasons: RegExp;
  /** Lines that tell what went wrong, and did not stop it. */
  readonly warnings?: RegExp;
  /** Exit statuses besides 0 that say that it is done. */
  readonly doneToo?: readonly number[];
}

export interface InstallerRun {
  readonly words: readonly string[];
  /** Nothing of ours is in its environment but PATH. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Shell commands before it, in its mount namespace. */
  readonly before?: string;
  readonly onLine: (line: string) => void;
  readonly onWarning: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Ends with us: setpriv(1) has the kernel see to it. */
const isolated = [
  ...['setpriv', '--pdeathsig', 'KILL'],
  ...['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'],
];
const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' };
/** Of what a failed program said we repeat so many lines. */
const reasonsShown = 3;

/** @throws BuildError what it said, when it fails. */
export async function runInstaller(installer: Installer, run: InstallerRun): Promise<void> {
  const { program, reasons, warnings, doneToo = [] } = installer;
  const { words, before = ':', onLine, onWarning, signal } = run;
  signal.throwIfAborted();
  const [command = '', ...isolation] = isolated;
  const child = spawn(command, [...isolation, 'sh', '-ec', `${before}\nexec "$@"`, 'sh', program, ...words], {
    env: { ...environment, ...run.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
  });
  const told: string[] = [];
  let last = '';
  tellLines([child.stdout, child.stderr], (line) => {
    onLine(line);
    if (line.trim() !== '') last = line.trim();
    if (reasons.test(line) && !told.includes(line.trim())) told.push(line.trim());
    if (warnings?.test(line)) onWarning(line.trim());
  });
  const [status, by] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on('error', (error) => {
      if (!signal.aborted) reject(error);
    });
    child.on('close', (...how) => resolve(how));
  }).catch((cause: unknown) => {
    throw new BuildError(
      `${errorCode(cause) === 'ENOENT' ? 'setpriv and unshare are missing (Debian package util-linux)' : String(cause)}`,
      { cause },
    );
  });
  signal.throwIfAborted();
  if (status === 0 || doneToo.includes(status ?? -1)) return;
  if (status === 127) throw new BuildError(`${program} is not installed (Debian package ${installer.package})`);
  const how = by === null ? `status ${status}` : by;
  const why = told.slice(0, reasonsShown).join('; ') || last || 'it said nothing';
  throw new BuildError(`${program} ended with ${how}: ${why}`);
}

/** For a shell that ends at the first command which fails: shows the volume in the tree that `root`, a shell's word, is. */
export function showVolume({ source, target, isWritable }: Volume, root: string): string {
  const [from, to] = [quoted(source), root + quoted(target)];
  const above = root + quoted(dirname(target));
  return [
    `if [ -d ${from} ]; then mkdir -p ${to}; else mkdir -p ${above}; touch ${to}; fi`,
    `mount --bind ${from} ${to}`,
    ...(isWritable ? [] : [`mount -o remount,bind,ro ${to}`]),
  ].join('; ');
}
