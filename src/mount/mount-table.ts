/**
 * Mounts as the kernel lists them, and which of them a name means. No mount is touched: one that hangs is found like any other. proc(5),
 * open(2): O_PATH.
 */
import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { errorCode, TetherfsError } from '../base/errors.ts';
import { type ListedMount, listMounts } from '../base/mounts.ts';
import { inMachineRoot } from './machine-root.ts';

export type Mount = Pick<ListedMount, 'mountpoint' | 'device' | 'type' | 'options'>;

const tetherfsType = 'fuse.tetherfs';

const openPath = 0o10000000;

/** Mounts of ours that can be reached from our root; of that device alone, if one is given. */
export function tetherfsMounts(device?: string): Mount[] {
  return listMounts().filter((mount) => mount.type === tetherfsType && mount.device === (device ?? mount.device));
}

/** Of the user that mounted it: by libfuse, anybody. */
export function userOf({ options }: Mount): number {
  return Number(/(?:^|,)user_id=(\d+)/.exec(options)?.[1] ?? 0);
}

/** Where block devices are mounted. */
export function mountsFrom(devices: readonly string[]): string[] {
  return listMounts().flatMap(({ source, mountpoint }) => (devices.includes(source) ? [mountpoint] : []));
}

/** For unmounting: where no other mount covers it. Directories above it may have been renamed since it was mounted. */
export function uncoveredPlaces(device: string): string[] {
  const places = tetherfsMounts(device).map(({ mountpoint }) => mountpoint);
  return [...new Set(places)].filter((place) => rootAt(inMachineRoot(place))?.device === device);
}

/**
 * The mount of ours whose root, or whose one file, `path` is, by whatever name, absolute or relative, through symbolic links or another place where
 * it is mounted; undefined when it is none, or has been covered by another mount.
 */
export function tetherfsAt(path: string): Mount | undefined {
  // Looking up the file itself would ask the daemon, which may be stopped.
  return (path.endsWith('/') ? undefined : rootAt(dirname(path))) ?? rootAt(path);
}

function rootAt(path: string): Mount | undefined {
  const found = lookUp(path);
  const mount = listMounts().find(({ id }) => id === found?.mountId);
  return mount?.type === tetherfsType && mount.mountpoint === found?.path ? mount : undefined;
}

/** Where the mount with this device is now: at `usual`, if it is there still. */
export function placeOf(device: string | undefined, usual: string): string {
  if (device === undefined) return usual;
  const places = tetherfsMounts(device).map(({ mountpoint }) => mountpoint);
  return places.includes(usual) ? usual : (places[0] ?? usual);
}

/** @throws TetherfsError NOT_MOUNTED */
export function insistOnTetherfs(path: string): Mount {
  const mount = tetherfsAt(path);
  if (mount === undefined) throw new TetherfsError('NOT_MOUNTED', `${path} is not a mount of tetherfs`);
  return mount;
}

/** Absolute, and without symbolic links as far as it exists. */
export function canonicalPath(path: string): string {
  return lookUp(path)?.path ?? resolve(path);
}

/** Undefined when there is no such file. */
function lookUp(path: string): { path: string; mountId: string | undefined } | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, openPath);
    const [, mountId] = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
    return { path: readlinkSync(`/proc/self/fd/${fd}`), mountId };
  } catch (error) {
    if (unfindable.has(errorCode(error) ?? '')) return undefined;
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Also what lies below a dead mount, or on a server that is gone. */
const unfindable = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG', 'ENOTCONN', 'EIO', 'ESTALE']);
