/**
 * A temporary directory that goes away with its scope. Its name holds our pid, so that scripts/leftovers can tell one
 * that is in use from one that was left behind.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TempDir extends Disposable {
  readonly path: string;
  /** Removes the directory and what is in it. Once is enough, more does no harm. */
  remove(): void;
}

/** @param what in a word (lowercase letters and dashes), for whoever finds the directory. */
export function makeTempDir(what = 'test'): TempDir {
  const path = mkdtempSync(join(tmpdir(), `tetherfs-${what}-${process.pid}-`));
  const remove = () => rmSync(path, { recursive: true, force: true });
  return { path, remove, [Symbol.dispose]: remove };
}
