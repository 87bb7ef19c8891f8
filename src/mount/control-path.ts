/**
 * Where control sockets live: one a mount, named after the mountpoint the way systemd names units after paths
 * (`/mnt/remoteimg` → `mnt-remoteimg.sock`), in a directory that only root can enter. Beside it a symbolic link, named after the device of the
 * mount (`device-0:53`), leads to the socket, wherever that was made: by it a mount is found whatever it is called.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errorCode, UsageError } from '../base/errors.ts';
import { canonicalPath, insistOnTetherfs, type Mount, tetherfsAt, tetherfsMounts } from './mount-table.ts';

export const controlDirectory = '/run/tetherfs';
/** What the kernel has room for in the name of a socket: sun_path of unix(7), less the byte that ends it. */
const longestPath = 107;

/** The socket of the mount on `mountpoint`. A name that is too long for a socket ends in the hash of the whole instead. */
export function controlPathOf(mountpoint: string): string {
  const name = resolve(mountpoint)
    .slice(1)
    .replace(/[^A-Za-z0-9:_./]/g, (character) =>
      [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
    )
    .replaceAll('/', '-');
  const path = pathOf(name || '-');
  if (path.length <= longestPath) return path;
  const ending = `~${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
  return pathOf(name.slice(0, longestPath - pathOf(ending).length) + ending);
}

/** A socket that was asked for. @throws UsageError when its name has no room in the kernel. */
export function givenControlPath(given: string): string {
  const path = resolve(given);
  if (Buffer.byteLength(path) <= longestPath) return path;
  throw new UsageError(`--control ${path}: the path of a socket has at most ${longestPath} bytes`);
}

function pathOf(name: string): string {
  return join(controlDirectory, `${name}.sock`);
}

/**
 * The socket of the mount that `path` is, by whatever name; of one that is still being made, by its path. Does not touch the mount.
 * @throws TetherfsError NOT_MOUNTED when there is neither.
 */
export function controlOf(path: string): string {
  const mount = tetherfsAt(path);
  if (mount !== undefined) return controlOfMount(mount);
  const beingMade = controlPathOf(canonicalPath(path));
  if (!controlPaths().includes(beingMade)) insistOnTetherfs(path);
  return beingMade;
}

/** The control sockets of all mounts of this machine; a dead daemon's may be among them. */
export function allControls(): string[] {
  const ofMounts = tetherfsMounts().map(controlOfMount);
  return [...new Set([...ofMounts, ...controlPaths()])];
}

/** Has the mount on `device` (`MAJOR:MINOR`) be found by it. @throws Error of the system call. */
export function linkControl(device: string, control: string): void {
  mkdirSync(controlDirectory, { recursive: true, mode: 0o700 });
  rmSync(linkOf(device), { force: true });
  symlinkSync(control, linkOf(device));
}

/** Unless another mount has got the device, and the name. */
export function unlinkControl(device: string, control: string): void {
  if (linkedControl(device) === control) rmSync(linkOf(device), { force: true });
}

function controlOfMount({ device, mountpoint }: Mount): string {
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
  return join(controlDirectory, `device-${device}`);
}

/** Those that lie where they usually do. */
function controlPaths(): string[] {
  try {
    return readdirSync(controlDirectory)
      .filter((name) => name.endsWith('.sock'))
      .map((name) => join(controlDirectory, name));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
