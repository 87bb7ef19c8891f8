/**
 * A command in the tree of an image as if that had booted: a container of its own by bubblewrap, of which nothing is left when it ends or we do, in whatever way. What the tree must have for that, and
 * has not (a file to mount the name servers over), is made, and taken away again.
 */
import { spawn } from 'node:child_process';
import { realpath, stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { basename, dirname, join, normalize } from 'node:path';
import { Writable } from 'node:stream';
import { describeError, errorCode, UsageError } from '../base/errors.ts';
import { tellLines } from '../base/lines.ts';
import { bytesOf, entryInside, leadsTo } from '../base/tree-entry.ts';
import { rootFilesystem } from './directory-inside.ts';
import { ExecError } from './errors.ts';
import { MountedOver, type Mountpoint } from './mounted-over.ts';
import { originMedium } from './tree-origin.ts';

export interface ExecOptions {
  /** The tree. */
  directory: string;
  /** With its arguments; none: a shell. */
  command: readonly string[];
  volumes: readonly Volume[];
  /** Told each line that it writes; else that goes where ours goes, and it reads what we read. */
  onLine?: ((line: string) => void) | undefined;
  signal: AbortSignal;
}

/** A file or directory of this machine, to be seen in the tree. */
export interface Volume {
  /** On this machine. */
  source: string;
  /** In the tree. */
  target: string;
  /** Whether the command may write there. */
  isWritable: boolean;
}

/** As upstream has it: seen there unless said otherwise. */
const external = '/run/external';
const medium = '/run/confluentdistro';
const resolver = '/etc/resolv.conf';
/** invoke-rc.d(8): says that no service is to be started. */
const servicePolicy = '/usr/sbin/policy-rc.d';
const policyText = '#!/bin/sh\nexit 101\n';
/** Where bwrap reads it. */
const policyFd = 3;
/** Empty directories of the container's own: what is mounted there leaves nothing in the tree. */
const ownDirectories = ['/run', '/tmp', '/dev', '/proc', '/sys'];

/** `SRC`, `SRC:DST` (`-`: the same path), either with `:rw`. @throws UsageError */
export function parseVolume(text: string): Volume {
  const [, source = '', target, mode] = /^([^:]+)(?::(-|\/[^:]*))?(?::(rw|ro))?$/.exec(text) ?? [];
  if (source === '')
    throw new UsageError(`-v ${text}: give SRC, SRC:DST or SRC:DST:rw; DST is a path in the tree, or -`);
  const at = target === undefined ? join(external, source) : target === '-' ? source : target;
  if (!at.startsWith('/')) throw new UsageError(`-v ${text}: say by its whole path what is to be seen there`);
  return { source, target: normalize(at), isWritable: mode === 'rw' };
}

/** @returns the command's exit status; 128 and its number after a signal. @throws UsageError, ExecError */
export async function execInTree(options: ExecOptions): Promise<number> {
  const { directory, command, volumes, onLine, signal } = options;
  if (process.geteuid?.() !== 0) throw new ExecError('only root can run a command in a tree: run this as root');
  const tree = await rootFilesystem(directory, '').catch((cause: unknown) => {
    throw cause instanceof UsageError ? cause : new UsageError(`${directory}: ${describeError(cause)}`, { cause });
  });
  const mounts = await mountsIn(tree, [...(await mediumOf(tree)), ...volumes]);
  const inTree = mounts.filter(({ path }) => !ownDirectories.some((own) => `${path}/`.startsWith(`${own}/`)));
  await using _over = await MountedOver.make(tree, inTree);
  const words = [...container(tree), ...mounts.flatMap(({ words }) => words), ...environment(tree)];
  return await run([...words, '--', ...(command.length > 0 ? command : await shellOf(tree))], onLine, signal);
}

interface Mount extends Mountpoint {
  /** bwrap's. */
  readonly words: readonly string[];
}

async function mountsIn(tree: string, volumes: readonly Volume[]): Promise<Mount[]> {
  const place = async (path: string) => Buffer.from(await leadsTo(bytesOf(tree), bytesOf(path)), 'latin1').toString();
  const mounts: Mount[] = [];
  for (const { source, target, isWritable } of volumes) {
    const real = await realpath(source).catch((cause: unknown) => {
      throw new UsageError(`-v ${source}: ${describeError(cause)}`, { cause });
    });
    const path = await place(target);
    const how = !isWritable ? '--ro-bind' : real.startsWith('/dev/') ? '--dev-bind' : '--bind';
    const kind = (await stat(real)).isDirectory() ? 'directory' : 'file';
    mounts.push({ path, kind, words: [how, real, path] });
  }
  const servers = await realpath(resolver).catch(() => undefined);
  if (servers !== undefined) {
    const path = await place(resolver);
    mounts.push({ path, kind: 'file', words: ['--ro-bind', servers, path] });
  }
  if ((await entryInside(bytesOf(tree), dirname(servicePolicy))) !== undefined) {
    const path = await place(servicePolicy);
    mounts.push({ path, kind: 'file', words: ['--perms', '0755', '--ro-bind-data', String(policyFd), path] });
  }
  return mounts;
}

/** What the tree was built from, in the place where confluent's imgutil shows it; none when it is not there any more. */
async function mediumOf(tree: string): Promise<Volume[]> {
  const source = await originMedium(tree);
  const isThere = source !== undefined && (await stat(source).catch(() => undefined))?.isDirectory() === true;
  return isThere ? [{ source, target: medium, isWritable: false }] : [];
}

/** bwrap(1). The network is this machine's: package managers need it. */
function container(tree: string): string[] {
  return [
    ...['--die-with-parent', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--hostname', hostName(tree)],
    ...['--bind', tree, '/', '--dev', '/dev', '--proc', '/proc', '--ro-bind', '/sys', '/sys'],
    // What is the kernel's is this machine's, too.
    ...['--ro-bind', '/proc/sys', '/proc/sys', '--ro-bind-try', '/proc/sysrq-trigger', '/proc/sysrq-trigger'],
    ...['--tmpfs', '/run', '--perms', '1777', '--tmpfs', '/tmp', '--perms', '1777', '--dir', '/run/lock'],
    ...['--chdir', '/'],
  ];
}

/** hostname(7): what of the directory's name may be one. */
function hostName(tree: string): string {
  return (
    basename(tree)
      .replace(/[^A-Za-z0-9-]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 63) || 'image'
  );
}

function environment(tree: string): string[] {
  const { TERM, LANG } = process.env;
  const all = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...{ HOME: '/root', USER: 'root', LOGNAME: 'root', SHELL: '/bin/sh' },
    LANG: LANG?.startsWith('C') ? LANG : 'C.UTF-8',
    ...(TERM !== undefined && { TERM }),
    PS1: `[${basename(tree)}] \\w \\$ `,
    // Scripts ask for it, of confluent's and of others.
    ...{ CONFLUENT_IMGUTIL_MODE: 'exec', container: 'tetherfs' },
  };
  return ['--clearenv', ...Object.entries(all).flatMap(([name, value]) => ['--setenv', name, value])];
}

async function shellOf(tree: string): Promise<string[]> {
  const hasBash = (await entryInside(bytesOf(tree), '/bin/bash')) !== undefined;
  return hasBash ? ['/bin/bash', '--noprofile', '--norc'] : ['/bin/sh'];
}

/** Ctrl-C is the command's business: we end when it has. */
async function run(words: string[], onLine: ExecOptions['onLine'], signal: AbortSignal): Promise<number> {
  const output = onLine === undefined ? 'inherit' : 'pipe';
  const input = onLine === undefined ? 'inherit' : 'ignore';
  const child = spawn('bwrap', words, { stdio: [input, output, output, 'pipe'] });
  if (onLine !== undefined) tellLines([child.stdout, child.stderr], onLine);
  const policy = child.stdio[policyFd];
  if (policy instanceof Writable) policy.on('error', () => {}).end(policyText);
  const end = () => child.kill('SIGTERM');
  signal.addEventListener('abort', end);
  try {
    const [status, by] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (...how) => resolve(how));
    });
    return status ?? 128 + (by === null ? 0 : constants.signals[by]);
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw cause;
    throw new ExecError('bwrap is not installed (Debian package bubblewrap)', { cause });
  } finally {
    signal.removeEventListener('abort', end);
  }
}
