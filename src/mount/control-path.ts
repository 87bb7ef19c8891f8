/**
 * Where control sockets live: one a mount, named after the mountpoint the way systemd names units after paths
 * (`/mnt/remoteimg` → `mnt-remoteimg.sock`), in a directory that only root can enter.
 */
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errorCode } from '../base/errors.ts';

export const controlDirectory = '/run/tetherfs';

export function controlPathOf(mountpoint: string): string {
  const name = resolve(mountpoint)
    .slice(1)
    .replace(/[^A-Za-z0-9:_./]/g, (character) =>
      [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
    )
    .replaceAll('/', '-');
  return join(controlDirectory, `${name || '-'}.sock`);
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
