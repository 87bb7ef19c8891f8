/** The yardstick of a boot: a single-threaded C daemon that asks one server for exactly what the kernel asks for (bench/reference/one-path.c). */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isRunning } from '../../test/support/process-tree.ts';
import { makeTempDir } from '../../test/support/temp-dir.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { buildReference } from './reference-mount.ts';

const program = fileURLToPath(new URL('../../native/build/one-path', import.meta.url));

/** `use` gets the path of the one file, and the process. */
export async function withOnePath<T>(url: string, use: (file: string, pid: number) => Promise<T>): Promise<T> {
  buildReference();
  const { hostname, port, pathname } = new URL(url);
  using directory = makeTempDir('one-path');
  const mountpoint = join(directory.path, 'mnt');
  mkdirSync(mountpoint);
  const child = spawn(program, [mountpoint, hostname, port || '80', pathname], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const pid = child.pid ?? 0;
  try {
    const file = join(mountpoint, basename(pathname));
    await waitUntil('the yardstick has mounted', () => existsSync(file));
    return await use(file, pid);
  } finally {
    execFileSync('umount', [mountpoint]);
    child.kill('SIGTERM');
    await waitUntil('the yardstick has ended', () => !isRunning(pid));
  }
}
