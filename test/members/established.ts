/** What the kernel says of TCP connections: proc(5), /proc/net/tcp. */
import { readFileSync } from 'node:fs';

const established = '01';

/** Established connections to `address`, an IPv4 address, as their client has them. */
export function establishedTo(address: string): number {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  const hex = bytes.reverse().join('').toUpperCase();
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote = '', state]) => remote.startsWith(`${hex}:`) && state === established).length;
}
