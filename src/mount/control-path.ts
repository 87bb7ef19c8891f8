/**
 * Where control sockets live: one a mount, named after the mountpoint the way systemd names units after paths
 * (`/mnt/remoteimg` → `mnt-remoteimg.sock`), in a directory that only root can enter.
 */
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errorCode } from '../base/errors.ts';

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

function pathOf(name: string): string {
  return join(controlDirectory, `${name}.sock`);
}

/** The control sockets of all mounts of this machine; a dead daemon's may be among them. */
export function controlPaths(): string[] {
  try {
    return readdirSync(controlDirectory)
      .filter((name) => name.endsWith('.sock'))
      .map((name) => join(controlDirectory, name));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
