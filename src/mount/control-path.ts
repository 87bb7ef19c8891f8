/**
 * Where control sockets live: one a mount, named after the mountpoint the way systemd names units after paths
 * (`/mnt/remoteimg` → `mnt-remoteimg.sock`), in a directory that only root can enter. Beside it a symbolic link, named after the device of the
 * mount (`device-0:53`), leads to the socket, wherever that was made: by it a mount is found whatever it is called.
 */
import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describeError, errorCode, TetherfsError, UsageError } from '../base/errors.ts';
import { absolutePath } from './given-file.ts';
import { connectionIdentity, hasConnection } from './kernel-tuning.ts';
import { canonicalPath, insistOnTetherfs, type Mount, tetherfsAt, tetherfsMounts, userOf } from './mount-table.ts';

const isRoot = process.geteuid?.() === 0;
export const controlDirectory = isRoot ? '/run/tetherfs' : join(userDirectory(), 'tetherfs');
const linkPrefix = 'device-';
/** What the kernel has room for in the name of a socket: sun_path of unix(7), less the byte that ends it. */
const longestPath = 107;

/** Where a user that is not root has what lives as long as he is logged in. XDG Base Directory Specification. */
function userDirectory(): string {
  const { XDG_RUNTIME_DIR: given } = process.env;
  return given?.startsWith('/') ? given : `/run/user/${process.geteuid?.()}`;
}

/**
 * The socket of the mount on `mountpoint`. A name that is too long for a socket ends in the hash of the whole instead. @throws TetherfsError CONTROL
 * when even that has no room.
 */
export function controlPathOf(mountpoint: string): string {
  const name = resolve(mountpoint)
    .slice(1)
    .replace(/[^A-Za-z0-9:_./]/g, (character) =>
      [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
    )
    .replaceAll('/', '-');
  const path = pathOf(name || '-');
  if (Buffer.byteLength(path) <= longestPath) return path;
  const ending = `~${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
  const room = longestPath - Buffer.byteLength(pathOf(ending));
  if (room >= 0) return pathOf(name.slice(0, room) + ending);
  throw new TetherfsError(
    'CONTROL',
    `${controlDirectory} is too long a path for sockets, which have ${longestPath} bytes: have XDG_RUNTIME_DIR name a shorter one`,
  );
}

/**
 * Its name for a mount that is yet to be made. A mount that was moved away from there, or detached while it is in use, may have the usual one
 * still.
 */
export function freeControlPathOf(mountpoint: string): string {
  const taken = new Set(
    links()
      .filter(isAlive)
      .map(({ control }) => control),
  );
  const usual = controlPathOf(mountpoint);
  for (let number = 1; ; number++) {
    const path =
      number === 1 ? usual : pathOf(`${createHash('sha256').update(mountpoint).digest('hex').slice(0, 16)}~${number}`);
    if (!taken.has(path)) return path;
  }
}

/** A socket that was asked for. @throws UsageError when its name has no room in the kernel. */
export function givenControlPath(given: string): string {
  return givenSocketPath(given, '--control');
}

/** @throws UsageError */
export function givenSocketPath(given: string, option: string): string {
  const path = absolutePath(given, option);
  if (Buffer.byteLength(path) <= longestPath) return path;
  throw new UsageError(`${option} ${path}: the path of a socket has at most ${longestPath} bytes`);
}

function pathOf(name: string): string {
  return join(controlDirectory, `${name}.sock`);
}

/**
 * The socket that was given, or that of the mount that `path` is, by whatever name; of one that is still being made, by its path. Does not touch
 * the mount. @throws TetherfsError NOT_MOUNTED when there is neither, UsageError.
 */
export function controlOf(path: string, given?: string): string {
  if (given !== undefined) return givenControlPath(given);
  const mount = tetherfsAt(path);
  if (mount !== undefined) {
    if (isOurs(mount)) return controlOfMount(mount);
    const user = userOf(mount);
    const whose = user === 0 ? 'a mount of root: run this as root' : `a mount of user ${user}: run this as that user`;
    throw new TetherfsError('NOT_ROOT', `${path} is ${whose}`);
  }
  const usual = controlPathOf(canonicalPath(path));
  const isBeingMade = controlPaths().includes(usual) && !links().some(({ control }) => control === usual);
  if (!isBeingMade) insistOnTetherfs(path);
  return usual;
}

/** The control sockets of all mounts of this machine, of detached ones too; a dead daemon's may be among them. */
export function allControls(): string[] {
  const mounted = tetherfsMounts().filter(isOurs).map(controlOfMount);
  const detached = links()
    .filter(isAlive)
    .map(({ control }) => control);
  return [...new Set([...mounted, ...detached, ...controlPaths()])];
}

/** @param hint what can be done without it. @throws TetherfsError NOT_ROOT, CONTROL. */
export function makeControlDirectory(hint = ''): void {
  try {
    // Not recursive: that says of a read-only /run that it is not there.
    mkdirSync(controlDirectory, { mode: 0o700 });
  } catch (cause) {
    const code = errorCode(cause);
    if (code === 'EEXIST') {
      insistOnOwnDirectory();
      return;
    }
    if (!isRoot) {
      const what = `cannot make ${controlDirectory}: run this as root; with --transport libfuse, have XDG_RUNTIME_DIR name a directory of yours`;
      throw new TetherfsError('NOT_ROOT', what, { cause });
    }
    throw new TetherfsError('CONTROL', `cannot make ${controlDirectory}: ${describeError(cause)}${hint}`, { cause });
  }
}

/** Whoever else could write there would answer for our daemons, or lead us to another. @throws TetherfsError CONTROL */
function insistOnOwnDirectory(): void {
  const found = lstatSync(controlDirectory);
  const isOwn = found.isDirectory() && found.uid === process.geteuid?.();
  if (!isOwn) {
    const what = `${controlDirectory} is not a directory that is ours alone: remove it`;
    throw new TetherfsError('CONTROL', what);
  }
  if ((found.mode & 0o077) !== 0) chmodSync(controlDirectory, 0o700);
}

/** Has the mount on `device` (`MAJOR:MINOR`) be found by it. @throws TetherfsError NOT_ROOT, CONTROL; Error of the system call. */
export function linkControl(device: string, control: string): void {
  makeControlDirectory();
  for (const link of links()) if (!isAlive(link)) rmSync(linkOf(link.device), { force: true });
  rmSync(linkOf(device), { force: true });
  symlinkSync(control, linkOf(device));
}

/** What a mount leads to it by, and which of all mounts that have had or will have its device it is. */
export interface Traces {
  device: string;
  control: string;
  connection: number | undefined;
}

/** Of a mount that is there. */
export function tracesOf(mount: Pick<Mount, 'device' | 'mountpoint'>): Traces {
  const { device } = mount;
  return { device, control: controlOfMount(mount), connection: connectionIdentity(device) };
}

/** Of a mount that has been removed, and whose daemon could not do so: its socket, and what led to it; unless it is in use, or mounted elsewhere. */
export function forgetDead({ device, control, connection }: Traces): void {
  if (connection !== undefined && connectionIdentity(device) === connection) return;
  if (dirname(control) === controlDirectory) rmSync(control, { force: true });
  unlinkControl(device, control);
}

/** Unless another mount has got the device, and the name. */
export function unlinkControl(device: string, control: string): void {
  if (linkedControl(device) === control) rmSync(linkOf(device), { force: true });
}

interface Link {
  device: string;
  control: string;
}

function links(): Link[] {
  return namesIn(controlDirectory)
    .filter((name) => name.startsWith(linkPrefix))
    .map((name) => name.slice(linkPrefix.length))
    .flatMap((device) => {
      const control = linkedControl(device);
      return control === undefined ? [] : [{ device, control }];
    });
}

/** Whether there is such a mount still, be it detached or in another namespace. */
function isAlive({ device }: Link): boolean {
  return hasConnection(device) || tetherfsMounts(device).length > 0;
}

/** Each asks what he has mounted himself: control sockets lie where only their user gets. */
function isOurs(mount: Mount): boolean {
  return userOf(mount) === (process.geteuid?.() ?? 0);
}

export function controlOfMount({ device, mountpoint }: Pick<Mount, 'device' | 'mountpoint'>): string {
  return linkedControl(device) ?? controlPathOf(mountpoint);
}

function linkedControl(device: string): string | undefined {
  try {
    return readlinkSync(linkOf(device));
  } catch {
    return undefined;
  }
}

function linkOf(device: string): string {
  return join(controlDirectory, linkPrefix + device);
}

/** Those that lie where they usually do. */
function controlPaths(): string[] {
  return namesIn(controlDirectory)
    .filter((name) => name.endsWith('.sock'))
    .map((name) => join(controlDirectory, name));
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return [];
    throw new TetherfsError('NOT_ROOT', `${directory} is for root; run this as root`, { cause });
  }
}
