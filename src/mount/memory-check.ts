/** Does an image fit into this machine's memory? */
import { readFileSync } from 'node:fs';
import { TetherfsError } from '../base/errors.ts';
import { formatSize } from './size.ts';

/** What is left for everything else when the image is in RAM: the daemon, and the boot that goes on. */
const margin = 256 * 1024 ** 2;

/**
 * @param bytes of the image as it will lie in RAM. @param meminfo text of /proc/meminfo.
 * @throws TetherfsError IMAGE_TOO_LARGE with both numbers when MemAvailable less a margin of 256 MiB is smaller. proc(5).
 */
export function checkMemory(bytes: number, meminfo = readFileSync('/proc/meminfo', 'utf8')): void {
  const [, kib] = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo) ?? [];
  // Kernels before 3.14 do not say; ours are not that old.
  if (kib === undefined) return;
  const available = Number(kib) * 1024;
  if (bytes + margin <= available) return;
  throw new TetherfsError(
    'IMAGE_TOO_LARGE',
    `the image does not fit into RAM: it needs ${formatSize(bytes)} and ${formatSize(margin)} to spare, and ${formatSize(available)} are available; use the image method tethered, or a machine with more memory`,
  );
}
