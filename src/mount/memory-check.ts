/** Does an image fit into this machine's memory? */
import { readFileSync } from 'node:fs';
import { TetherfsError } from '../base/errors.ts';
import { formatSize } from '../base/size.ts';

/** What is left for everything else when the image is in RAM: the daemon, and the boot that goes on. */
const margin = 256 * 1024 ** 2;

/**
 * @param bytes of the image as it will lie in RAM. @param meminfo text of /proc/meminfo.
 * @throws TetherfsError IMAGE_TOO_LARGE with both numbers when MemAvailable less a margin of 256 MiB is smaller.
 */
export function checkMemory(bytes: number, meminfo?: string): void {
  const available = availableMemory(meminfo);
  if (bytes + margin <= available) return;
  throw new TetherfsError(
    'IMAGE_TOO_LARGE',
    `the image does not fit into RAM: it needs ${formatSize(bytes)} and ${formatSize(margin)} to spare, and ${formatSize(available)} are available; use the image method tethered, or a machine with more memory`,
  );
}

/** Bytes that may be had without driving anything out. Infinity where the kernel does not say (before 3.14). proc(5). */
export function availableMemory(meminfo?: string): number {
  return memory('MemAvailable', meminfo) ?? Number.POSITIVE_INFINITY;
}

/** Bytes. */
export function totalMemory(): number {
  return memory('MemTotal') ?? 0;
}

function memory(name: string, meminfo = readFileSync('/proc/meminfo', 'utf8')): number | undefined {
  const [, kib] = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo) ?? [];
  return kib === undefined ? undefined : Number(kib) * 1024;
}
