/** The yardstick: a file answered from memory by the least FUSE server that C can be (bench/reference/fuse-reference.c). */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isRunning } from '../../test/support/process-tree.ts';
import { makeTempDir } from '../../test/support/temp-dir.ts';
import { waitUntil } from '../../test/support/wait-until.ts';

const native = fileURLToPath(new URL('../../native', import.meta.url));
const program = join(native, 'build/fuse-reference');

/** Builds it if need be. */
export function buildReference(): void {
  execFileSync('make', ['-C', native, 'reference'], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** `use` gets the path of its one file, of at least `bytes` bytes, served by a thread for each core. */
export async function withReferenceMount<T>(bytes: number, use: (file: string) => Promise<T>): Promise<T> {
  using directory = makeTempDir('reference');
  const mountpoint = join(directory.path, 'mnt');
  mkdirSync(mountpoint);
  const child = spawn(program, [mountpoint, String(availableParallelism()), String(Math.ceil(bytes / 2 ** 20))], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    const file = join(mountpoint, 'data');
    await waitUntil('the reference has mounted', () => existsSync(file));
    return await use(file);
  } finally {
    execFileSync('umount', [mountpoint]);
    child.kill('SIGTERM');
    await waitUntil('the reference has ended', () => !isRunning(child.pid ?? 0));
  }
}
