/** What the kernel shows of a mount's connection. Documentation/filesystems/fuse.rst. */
import { readFileSync } from 'node:fs';

/** Its directory, named after the minor number of the mount's device. */
export function connectionOf(mountpoint: string): string {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [, , device = '', , target] = line.split(' ');
    if (target === mountpoint) return `/sys/fs/fuse/connections/${device.split(':')[1]}`;
  }
  throw new Error(`${mountpoint} is not mounted`);
}

/** Requests that the daemon has not answered. */
export function requestsWaiting(mountpoint: string): number {
  return Number(readFileSync(`${connectionOf(mountpoint)}/waiting`, 'utf8'));
}
