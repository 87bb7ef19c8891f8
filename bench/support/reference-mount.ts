/** The yardsticks: a file answered by the least FUSE servers that C can be (bench/reference). */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isRunning } from '../../test/support/process-tree.ts';
import { makeTempDir } from '../../test/support/temp-dir.ts';
import { waitUntil } from '../../test/support/wait-until.ts';

const native = fileURLToPath(new URL('../../native', import.meta.url));

/** Builds them if need be. */
export function buildReference(): void {
  execFileSync('make', ['-C', native, 'reference'], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** From memory: `use` gets the path of a file of at least `bytes` bytes, served by a thread for each core. */
export function withReferenceMount<T>(bytes: number, use: (file: string) => Promise<T>): Promise<T> {
  const words = [String(availableParallelism()), String(Math.ceil(bytes / 2 ** 20))];
  return withProgramMount('fuse-reference', words, 'data', use);
}

/**
 * What a single-threaded daemon with one server does (bench/reference/one-path.c): it asks for exactly what the kernel asks for. `use` gets the
 * path of the file, and the process.
 */
export function withOnePath<T>(url: string, use: (file: string, pid: number) => Promise<T>): Promise<T> {
  buildReference();
  const { hostname, port, pathname } = new URL(url);
  return withProgramMount('one-path', [hostname, port || '80', pathname], basename(pathname), use);
}

/** @param words of the program, behind the mountpoint. @param name of its one file. */
async function withProgramMount<T>(
  program: string,
  words: readonly string[],
  name: string,
  use: (file: string, pid: number) => Promise<T>,
): Promise<T> {
  using directory = makeTempDir(program);
  const mountpoint = join(directory.path, 'mnt');
  mkdirSync(mountpoint);
  const child = spawn(join(native, 'build', program), [mountpoint, ...words], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const pid = child.pid ?? 0;
  try {
    const file = join(mountpoint, name);
    await waitUntil(`${program} has mounted`, () => existsSync(file));
    return await use(file, pid);
  } finally {
    execFileSync('umount', [mountpoint]);
    child.kill('SIGTERM');
    await waitUntil(`${program} has ended`, () => !isRunning(pid));
  }
}
