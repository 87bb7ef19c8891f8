/** The demo's main part on an image that needs no Debian mirror: a small program with its libraries, one large file, many small ones. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { enoughLeft, runDemo } from '../../demo/run.ts';
import { readTree } from '../../demo/tree-manifest.ts';
import { packImage } from '../support/packed-image.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const programFile = '/usr/bin/openssl';

/** A root in which `/program` runs. */
function makeRoot(root: string): void {
  mkdirSync(join(root, 'bin'), { recursive: true });
  cpSync(programFile, join(root, 'bin/openssl'));
  symlinkSync('bin/openssl', join(root, 'program'));
  cpSync(process.execPath, join(root, 'large'));
  const libraries = execFileSync('ldd', [programFile], { encoding: 'utf8' }).match(/\/\S+(?= \(0x)/g) ?? [];
  for (const library of libraries) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    cpSync(realpathSync(library), join(root, library));
  }
  const modules = fileURLToPath(new URL('../../node_modules', import.meta.url));
  for (const name of ['@types', 'zod', 'undici'])
    cpSync(join(modules, name), join(root, 'lib/node_modules', name), { recursive: true });
}

test('a tree is read back without a wrong byte while one member is killed and another stopped, and both are used again', async () => {
  using directory = makeTempDir();
  const root = join(directory.path, 'root');
  makeRoot(root);
  const manifest: string[] = [];
  readTree(root, (line) => manifest.push(line));
  const image = await packImage(root, directory.path, ['--compression', 'lz4']);

  const said: string[] = [];
  const result = await runDemo({
    image,
    manifest: `${manifest.join('\n')}\n`,
    program: ['/program', 'prime', '97'],
    linkRate: '100mbit',
    say: (line) => said.push(line),
  });

  expect(result.programOutput).toBe('61 (97) is prime');
  expect(result.accident.notFetched).toBeGreaterThanOrEqual(enoughLeft);
  expect(result.accident.inFlightKilled).toBeGreaterThan(0);
  expect(result.accident.inFlightStopped).toBeGreaterThan(0);
  expect(result.atTheEnd.reads.failed).toBe(0);
  expect(result.atTheEnd.cache.chunksRejected).toBe(0);
  expect(result.atTheEnd.members.map(({ state }) => state)).toEqual(['up', 'up', 'up']);
  expect(said.join('\n')).toContain('not one byte differs');
}, 120_000);
