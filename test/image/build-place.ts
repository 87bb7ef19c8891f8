/** Where a test file builds trees from a repository that it makes: what its tests have in common. Registers its hooks. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { checkoutCommand } from '../support/daemon.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';

export interface BuildPlace<Repository> {
  /** From the first test on. */
  readonly repository: Repository;
  /** Of the whole file; it holds what the repository was made from. */
  readonly site: string;
  /** In a directory of each test's own, in which `tree` is built. */
  at(...path: string[]): string;
  /** The text of a file of the tree. */
  inTree(path: string): string;
  /** The words of a build of these packages. */
  words(packages: readonly string[], ...more: string[]): string[];
}

/** @param make makes it, in an empty directory. */
export function buildPlace<Repository>(make: (directory: string) => Repository): BuildPlace<Repository> {
  const site = makeTempDir('build-site');
  const runtime = join(site.path, 'runtime.sfs');
  let repository: Repository | undefined;
  let directory: TempDir;
  beforeAll(() => {
    repository = make(site.path);
    writeFileSync(runtime, 'hsqs, the runtime');
  });
  afterAll(() => site.remove());
  beforeEach(() => {
    directory = makeTempDir('build');
  });
  afterEach(() => directory.remove());
  const at = (...path: string[]) => join(directory.path, ...path);
  return {
    get repository() {
      if (repository === undefined) throw new Error('it is there from the first test on');
      return repository;
    },
    site: site.path,
    at,
    inTree: (path) => readFileSync(at('tree', path), 'utf8'),
    words(packages, ...more) {
      const list = join(site.path, 'list');
      writeFileSync(list, packages.join('\n'));
      return ['image', 'build', '-p', list, '--runtime', runtime, ...more, at('tree')];
    },
  };
}

export function tetherfs(words: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(checkoutCommand, words, { encoding: 'utf8' });
  return { status, stdout, stderr };
}
