/** The runtime (scripts/build-runtime): what a node gets of tetherfs, and nothing else. */
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeFlags } from '../../src/mount/clean-child.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { HeldMount } from './held-mount.ts';
import { expectRandomReads, expectWhole } from './reading.ts';
import { Site } from './site.ts';

const script = fileURLToPath(new URL('../../scripts/build-runtime', import.meta.url));
const run = promisify(execFile);
const temp = makeTempDir('runtime');
const built = join(temp.path, 'built');
let site: Site;

beforeAll(async () => {
  site = await Site.make({ mebibytes: 8 });
  await run(script, [built]);
});
afterAll(async () => {
  await site[Symbol.asyncDispose]();
  temp.remove();
});

/** What tells V8's code from everything else: it may differ from one build to the next. */
const compiled = 'src/cli/tetherfs.cjs.code';

function filesOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}

it('has no packages, no TypeScript, but its libraries and their loader, and the code of a daemon that has served a mount', () => {
  expect(filesOf(built).filter((file) => !file.startsWith('lib/lib'))).toEqual([
    'bin/clortho',
    'bin/copernicus',
    'bin/mount.tetherfs',
    'bin/node',
    'bin/tetherfs',
    'bin/urlmount',
    'lib/loader',
    'native/build/tetherfs-holder',
    'native/build/tetherfs-shutdown',
    'native/build/tetherfs.node',
    'package.json',
    'src/cli/main.cjs',
    'src/cli/tetherfs.cjs',
    'src/cli/tetherfs.cjs.LEGAL.txt',
    compiled,
    'src/measure/page/charts.js',
    'src/measure/page/page.css',
    'src/measure/page/uplot/LICENSE',
    'src/measure/page/uplot/uPlot.iife.min.js',
    'src/measure/page/uplot/uPlot.min.css',
    'tetherfs',
  ]);
});

it('has no libfuse, and says what does', async () => {
  const words = ['mount', '--transport', 'libfuse', '--digest', site.digest, ...site.urls(), site.newMountpoint()];
  await expect(run(join(built, 'tetherfs'), words)).rejects.toThrow(
    /fuse-native is not here \(a runtime has none: use a checkout\)/,
  );
});

it('is the same, byte for byte, when it is built again', async () => {
  const again = join(temp.path, 'again');
  const sum = (directory: string, file: string) =>
    createHash('sha256')
      .update(readFileSync(join(directory, file)))
      .digest('hex');
  const sums = (directory: string) =>
    filesOf(directory)
      .filter((file) => file !== compiled)
      .map((file) => `${file} ${sum(directory, file)}`);
  await run(script, [again]);
  expect(sums(again)).toEqual(sums(built));
});

it('takes the code that it has, and does without where V8 would not', async () => {
  const accepted = (flags: readonly string[]) =>
    execFileSync(join(built, 'bin/node'), [
      ...flags,
      '-p',
      `process.argv[1] = '--version'; require(${JSON.stringify(join(built, 'src/cli/main.cjs'))}).cachedDataRejected`,
    ]).toString();
  expect(accepted(nodeFlags)).toContain('false');
  expect(accepted([...nodeFlags, '--no-opt'])).toContain('true');
});

it('mounts, goes on after a crash and is taken over, from a read-only folder of any name', async () => {
  const place = join(temp.path, 'a folder, “of any name”');
  mkdirSync(place);
  execFileSync('mount', ['--bind', built, place]);
  execFileSync('mount', ['-o', 'remount,bind,ro', place]);
  try {
    const command = join(place, 'tetherfs');
    const { digest, keyFile } = site;
    await using mount = await HeldMount.make({
      urls: site.urls(),
      mountpoint: site.newMountpoint(),
      options: ['--digest', digest, '--key-file', keyFile],
      command,
    });
    await expectWhole(mount.file, site.plain);
    process.kill(mount.daemon, 'SIGKILL');
    const { pid } = await mount.successorOf(mount.daemon);
    await expectRandomReads(mount.file, site.plain, { count: 50, longest: 200_000, seed: 1, readers: 4 });
    await run(command, ['takeover', mount.mountpoint]);
    await mount.successorOf(pid);
    await expectWhole(mount.file, site.plain);
    await run(command, ['unmount', mount.mountpoint]);
    await waitUntil('daemon and holder have ended', () => mount.leftovers().length === 0);
  } finally {
    execFileSync('umount', [place]);
  }
});
