import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeSidecar, sidecarSuffix } from '../../src/image/sidecar.ts';
import { formatTrace } from '../../src/image/trace.ts';
import { controlPathOf } from '../../src/mount/control-path.ts';
import { startControlServer } from '../../src/mount/control-server.ts';
import type { Listener } from '../../src/mount/listeners.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { noise } from './memory-image.ts';

const tetherfs = new URL('../../bin/tetherfs', import.meta.url).pathname;
const imageSize = 10 * 65536 - 100;
/** Leaves of any bytes: nobody reads the image here. */
const { sidecar, digest } = makeSidecar(noise(10 * 32), { imageSize, blockSize: 65536, salt: new Uint8Array() });
const text = formatTrace({ digest, imageSize, chunkSize: 65536, chunks: Uint32Array.of(0, 1, 9, 4) });

let directory: TempDir;
let daemon: Listener;
const at = (name: string) => join(directory.path, name);

beforeEach(async () => {
  directory = makeTempDir('trace');
  mkdirSync(at('mount'));
  // what a daemon answers with; a directory that is mounted on makes no difference to the client
  daemon = await startControlServer(controlPathOf(at('mount')), { 'GET /trace': () => text });
  writeFileSync(at('boot.trace'), text);
  writeFileSync(at('rootimg.sfs'), Buffer.alloc(imageSize));
  writeFileSync(at(`rootimg.sfs${sidecarSuffix}`), sidecar);
});
afterEach(() => {
  daemon.close();
  directory.remove();
});

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

function trace(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(tetherfs, ['trace', ...args], (error, stdout, stderr) => {
      resolve({ status: typeof error?.code === 'number' ? error.code : error === null ? 0 : 128, stdout, stderr });
    });
  });
}

describe('show', () => {
  test.each(['mount', 'boot.trace'])('of a %s for people', async (name) => {
    expect(await trace('show', at(name))).toEqual({
      status: 0,
      stderr: '',
      stdout: `trace    ${at(name)}
digest   ${digest}
image    ${imageSize} bytes (0.6 MiB)
touched  4 chunks of 64 KiB, 0.2 MiB: 40.0 % of the image
in order chunks 0-1, 9, 4
`,
    });
  });

  test('for programs, and as it is', async () => {
    const { stdout } = await trace('show', '--json', at('mount'));
    expect(JSON.parse(stdout)).toEqual({
      digest,
      imageSize,
      chunkSize: 65536,
      runs: [
        { first: 0, count: 2 },
        { first: 9, count: 1 },
        { first: 4, count: 1 },
      ],
      chunks: 4,
      bytes: 4 * 65536 - 100,
      share: (4 * 65536 - 100) / imageSize,
    });
    expect((await trace('show', '--raw', at('boot.trace'))).stdout).toBe(text);
    expect((await trace('show', '--raw', '--control', controlPathOf(at('mount')), 'x')).stdout).toBe(text);
  });

  test('a damaged file is refused with its line', async () => {
    writeFileSync(at('boot.trace'), `${text}\x1b[2J\n`);
    expect(await trace('show', '--raw', at('boot.trace'))).toEqual({
      status: 1,
      stdout: '',
      stderr: 'tetherfs: trace, line 8: "\\u001b[2J" is no run of chunks\n',
    });
  });

  test.each([
    ['nothing', 1, /^tetherfs: there is no file .*nothing, nor a mount on it\n$/],
    ['.', 1, /^tetherfs: \/.* is not a mount of tetherfs\n$/],
  ])('of %s fails', async (name, status, stderr) => {
    expect(await trace('show', at(name))).toEqual({ status, stdout: '', stderr: expect.stringMatching(stderr) });
  });
});

describe('save', () => {
  test('writes the file, and does not replace one unless told to', async () => {
    expect(await trace('save', at('mount'), at('saved'))).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(readFileSync(at('saved'), 'utf8')).toBe(text);
    writeFileSync(at('saved'), 'older');
    const { status, stderr } = await trace('save', at('mount'), at('saved'));
    expect({ status, stderr }).toEqual({
      status: 2,
      stderr: `tetherfs: ${at('saved')} exists: give --force to replace it\n`,
    });
    expect(readFileSync(at('saved'), 'utf8')).toBe('older');
    expect((await trace('save', '--force', at('mount'), at('saved'))).status).toBe(0);
    expect(readFileSync(at('saved'), 'utf8')).toBe(text);
    expect(readdirSync(directory.path).sort()).toEqual(
      ['boot.trace', 'mount', 'rootimg.sfs', 'rootimg.sfs.fsverity', 'saved'].sort(),
    );
  });

  test('says where it cannot write', async () => {
    expect(await trace('save', at('mount'), at('no/where'))).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^tetherfs: cannot write .*no\/where: no such file.*\n$/),
    });
  });
});

describe('publish', () => {
  const published = () => at('rootimg.sfs.trace');

  test.each(['mount', 'boot.trace'])('from a %s: beside the image, for everybody to read', async (name) => {
    writeFileSync(published(), 'older', { mode: 0o600 });
    expect(await trace('publish', at(name), at('rootimg.sfs'))).toEqual({
      status: 0,
      stdout: `${published()}\n`,
      // Nobody can look into this one.
      stderr: 'tetherfs: the trace will not outlive this image: it holds no squashfs whose files could be looked up\n',
    });
    expect(readFileSync(published(), 'utf8')).toBe(text);
    expect(statSync(published()).mode & 0o777).toBe(0o644);
  });

  test.each([
    [
      'a trace of another image',
      () => writeFileSync(at('boot.trace'), text.replace(digest, `sha256:${'ab'.repeat(32)}`)),
      /belongs to another image/,
    ],
    [
      'an image that was replaced',
      () => writeFileSync(at('rootimg.sfs'), Buffer.alloc(imageSize + 1)),
      /is for an image of 655260 bytes, but .* has 655261/,
    ],
    ['no sidecar', () => rmSync(at('rootimg.sfs.fsverity')), /there is no .*rootimg\.sfs\.fsverity/],
    ['a damaged sidecar', () => writeFileSync(at('rootimg.sfs.fsverity'), 'x'), /fs-verity sidecar: /],
    ['no image', () => rmSync(at('rootimg.sfs')), /cannot read .*rootimg\.sfs: no such file/],
  ])('refuses %s, and writes nothing', async (_, spoil, message) => {
    spoil();
    const { status, stdout, stderr } = await trace('publish', at('boot.trace'), at('rootimg.sfs'));
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(readdirSync(directory.path).filter((name) => name.endsWith('.trace'))).toEqual(['boot.trace']);
  });
});

describe('merge', () => {
  test('makes one trace of those of several boots', async () => {
    writeFileSync(at('second.trace'), text.replace(/\n9 1\n/, '\n8 1\n'));
    writeFileSync(at('third.trace'), text);
    const files = ['boot.trace', 'second.trace', 'third.trace'].map(at);
    expect(await trace('merge', ...files, '--output', at('merged.trace'))).toEqual({
      status: 0,
      stdout: '',
      stderr: '',
    });
    expect(readFileSync(at('merged.trace'), 'latin1')).toBe(text);
    const again = await trace('merge', ...files, '--output', at('merged.trace'));
    expect(again).toMatchObject({ status: 2, stderr: expect.stringContaining('--force') });
  });

  test('names the file that is none', async () => {
    writeFileSync(at('other'), 'x');
    const { status, stderr } = await trace('merge', at('boot.trace'), at('other'), '--output', at('merged.trace'));
    expect(status).toBe(2);
    expect(stderr).toMatch(/other: trace, line 1: /);
    expect(existsSync(at('merged.trace'))).toBe(false);
  });
});
