/** What the kernel shows of a mount's connection. Documentation/filesystems/fuse.rst. */
import { readFileSync } from 'node:fs';
import { tetherfsMounts } from '../../src/mount/mount-table.ts';

/** Its directory, named after the minor number of the mount's device. */
export function connectionOf(mountpoint: string): string {
  const mount = tetherfsMounts().find((found) => found.mountpoint === mountpoint);
  if (mount === undefined) throw new Error(`${mountpoint} is not mounted`);
  return `/sys/fs/fuse/connections/${mount.device.split(':')[1]}`;
}

/** Requests that the daemon has not answered. */
export function requestsWaiting(mountpoint: string): number {
  return Number(readFileSync(`${connectionOf(mountpoint)}/waiting`, 'utf8'));
}
