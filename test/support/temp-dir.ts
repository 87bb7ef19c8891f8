/**
 * A temporary directory that goes away with its scope. Its name holds our pid, so that scripts/leftovers can tell one
 * that is in use from one that was left behind.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { complain } from './teardown.ts';

/** What the test files of a run share, each of which has temporary files of its own; it goes with the run. */
export const sharedDirectory = process.env['TETHERFS_TEST_SHARED'] ?? tmpdir();

export interface TempDir extends Disposable {
  readonly path: string;
  /** Removes the directory and what is in it. Once is enough, more does no harm. */
  remove(): void;
  /** Ends what is mounted in it, which is complained of. */
  detachMounts(): void;
}

/** @param what in a word (lowercase letters and dashes), for whoever finds the directory. */
export function makeTempDir(what = 'test'): TempDir {
  const path = mkdtempSync(join(tmpdir(), `tetherfs-${what}-${process.pid}-`));
  function remove(): void {
    detachMountsIn(path);
    rmSync(path, { recursive: true, force: true });
  }
  return { path, remove, detachMounts: () => detachMountsIn(path), [Symbol.dispose]: remove };
}

/** Removing goes through mounts, and waits with one that hangs. */
function detachMountsIn(path: string): void {
  const targets = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((target) => target.startsWith(`${path}/`));
  for (const target of targets.reverse()) {
    complain(`a mount was left on ${target}`);
    execFileSync('umount', ['--lazy', target]);
  }
}
