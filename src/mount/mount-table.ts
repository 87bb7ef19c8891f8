/**
 * Mounts as the kernel lists them, and which of them a name means. No mount is touched: one that hangs is found like any other. proc(5),
 * open(2): O_PATH.
 */
import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import { errorCode, TetherfsError } from '../base/errors.ts';

export interface Mount {
  /** Where it is mounted, seen from our root. */
  mountpoint: string;
  /** `MAJOR:MINOR`: the same for every place where it is mounted. */
  device: string;
  type: string;
}

interface ListedMount extends Mount {
  id: string;
}

const tetherfsType = 'fuse.tetherfs';

const openPath = 0o10000000;

/** Mounts of ours that can be reached from our root; of that device alone, if one is given. */
export function tetherfsMounts(device?: string): Mount[] {
  return readMountInfo().filter((mount) => mount.type === tetherfsType && mount.device === (device ?? mount.device));
}

/** By their devices, for unmounting: where no other mount covers it. Directories above it may have been renamed since it was mounted. */
export function uncoveredPlaces(device: string): string[] {
  const places = tetherfsMounts(device).map(({ mountpoint }) => mountpoint);
  return [...new Set(places)].filter((place) => tetherfsAt(place)?.device === device);
}

/**
 * The mount of ours whose root `path` is, by whatever name, absolute or relative, through symbolic links or another place where it is
 * mounted; undefined when it is none, or has been covered by another mount.
 */
export function tetherfsAt(path: string): Mount | undefined {
  const found = lookUp(path);
  const mount = readMountInfo().find(({ id }) => id === found?.mountId);
  return mount?.type === tetherfsType && mount.mountpoint === found?.path ? mount : undefined;
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
  let fd: number;
  try {
    fd = openSync(path, openPath);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENAMETOOLONG'].includes(errorCode(error) ?? '')) return undefined;
    throw error;
  }
  try {
    const [, mountId] = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
    return { path: readlinkSync(`/proc/self/fd/${fd}`), mountId };
  } finally {
    closeSync(fd);
  }
}

function readMountInfo(): ListedMount[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', , device = '', , mountedOn = ''] = line.split(' ');
      const [, type = ''] = / - (\S+) /.exec(line) ?? [];
      return { id, device, type, mountpoint: unescapeOctal(mountedOn) };
    });
}

function unescapeOctal(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
