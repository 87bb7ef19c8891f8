import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseSuperblock, type SquashfsCompression } from '../../src/image/squashfs.ts';
import { listSquashfsFiles } from '../../src/image/squashfs-files.ts';
import { decompressorFor } from '../../src/imgutil/decompress.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { memoryImage, noise } from './memory-image.ts';

const directory = makeTempDir('squashfs-files');
const tree = join(directory.path, 'tree');
afterAll(() => directory.remove());

/** Names are bytes, and latin1 shows each as one character. */
const contents = new Map<string, Buffer>([
  ['/empty', Buffer.alloc(0)],
  ['/small', Buffer.from('a few bytes')],
  ['/etc/a name with blanks', noise(3_000, 2)],
  ['/etc/ünïcode', noise(4_000, 3)],
  ['/etc/two\nlines', noise(5_000, 4)],
  ['/usr/bin/large', noise(1_000_000, 5)],
  ['/usr/bin/exactly two blocks', noise(262_144, 6)],
  ['/usr/bin/compressible', Buffer.alloc(700_000, 'all work and no play ')],
  ['/usr/lib/deep/deeper/deepest/file', noise(200_000, 7)],
]);
for (let number = 0; number < 1_500; number++) {
  contents.set(`/many/file-${String(number).padStart(5, '0')}-with-a-name-of-some-length`, noise(40, number));
}
const holes = 3_000_000;

beforeAll(() => {
  for (const [path, content] of contents) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    writeFileSync(join(tree, path), content);
  }
  // A name that is no UTF-8.
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/etc/`), Buffer.of(0xff, 0xfe)]), 'latin');
  writeFileSync(join(tree, 'holes'), '');
  truncateSync(join(tree, 'holes'), holes);
  linkSync(join(tree, 'small'), join(tree, 'usr/hard link'));
  symlinkSync('small', join(tree, 'symbolic link'));
  mkdirSync(join(tree, 'an empty directory'));
});

function packed(...flags: string[]): Buffer {
  const output = join(directory.path, 'image.sfs');
  execFileSync('mksquashfs', [tree, output, '-noappend', '-quiet', '-no-progress', '-no-exports', ...flags]);
  return readFileSync(output);
}

async function list(image: Buffer) {
  const { compression } = parseSuperblock(image, image.length);
  const decompress = decompressorFor(compression);
  if (decompress === undefined) throw new Error(`nothing decompresses ${compression}`);
  return listSquashfsFiles(memoryImage(image), decompress);
}

const names = () => [...contents.keys()].map((path) => Buffer.from(path).toString('latin1'));

describe('the files of a squashfs', () => {
  test.each([
    ['zstd', []],
    ['xz', []],
    ['gzip', ['-b', '4096']],
    ['gzip', ['-b', '1M', '-noI']],
    ['zstd', ['-no-fragments']],
    ['xz', ['-always-use-fragments', '-b', '16K']],
  ])('made by mksquashfs -comp %s %j are all there with their sizes', async (compression, flags) => {
    const { files } = await list(packed('-comp', compression, ...flags));
    expect(files.map(({ path }) => path).sort()).toEqual(
      [...names(), '/etc/\xff\xfe', '/holes', '/usr/hard link'].sort(),
    );
    const sizes = new Map(files.map(({ path, size }) => [path, size]));
    for (const [path, { length }] of contents) expect(sizes.get(Buffer.from(path).toString('latin1'))).toBe(length);
    expect(sizes.get('/holes')).toBe(holes);
  });

  test.each(['gzip', 'zstd', 'xz'] as SquashfsCompression[])(
    'lie where they are said to lie (%s)',
    async (compression) => {
      // Data and fragments not compressed: what lies there is what is in the file.
      const image = packed('-comp', compression, '-noD', '-noF');
      const { files, fragments, blockSize } = await list(image);
      expect(blockSize).toBe(131_072);
      for (const [path, content] of contents) {
        const file = files.find((one) => one.path === Buffer.from(path).toString('latin1'));
        if (file === undefined) throw new Error(`${path} is not there`);
        const data = image.subarray(file.start, file.start + file.blocks.reduce((sum, length) => sum + length, 0));
        if (file.fragment === undefined) {
          expect(data.equals(content)).toBe(true);
          continue;
        }
        const { offset = 0, length = 0 } = fragments[file.fragment] ?? {};
        expect(data.equals(content.subarray(0, data.length))).toBe(true);
        expect(image.subarray(offset, offset + length).includes(content.subarray(data.length))).toBe(true);
      }
      expect(files.find(({ path }) => path === '/holes')?.blocks.every((length) => length === 0)).toBe(true);
    },
  );

  test('and its metadata are the superblock and all behind the data', async () => {
    const image = packed('-comp', 'zstd', '-noD', '-noF');
    const { files, fragments, metadata } = await list(image);
    const ends = files.map(({ start, blocks }) => start + blocks.reduce((sum, length) => sum + length, 0));
    const dataEnd = Math.max(...ends, ...fragments.map(({ offset, length }) => offset + length));
    const { bytesUsed } = parseSuperblock(image, image.length);
    expect(metadata).toEqual([
      { offset: 0, length: 96 },
      { offset: dataEnd, length: bytesUsed - dataEnd },
    ]);
  });

  test('of an image with nothing in it, or with the export table that NFS needs', async () => {
    const output = join(directory.path, 'other.sfs');
    const flags = ['-noappend', '-quiet', '-no-progress'];
    execFileSync('mksquashfs', [join(tree, 'an empty directory'), output, ...flags]);
    expect((await list(readFileSync(output))).files).toEqual([]);
    execFileSync('mksquashfs', [tree, output, ...flags]);
    expect((await list(readFileSync(output))).files).toHaveLength(contents.size + 3);
  });

  test('are not listed wrongly when bytes of the metadata are wrong: it says so, or finds files', async () => {
    const image = packed('-comp', 'gzip', '-noI');
    const { metadata, files } = await list(image);
    const [, tables = { offset: 0, length: 0 }] = metadata;
    let refused = 0;
    for (let turn = 0; turn < 200; turn++) {
      const damaged = Buffer.from(image);
      const where = tables.offset + (noise(4, turn).readUInt32BE() % tables.length);
      damaged[where] = (damaged[where] ?? 0) ^ (1 << (turn % 8));
      try {
        expect((await list(damaged)).files.length).toBeLessThanOrEqual(2 * files.length);
      } catch (error) {
        expect(error).toMatchObject({ code: 'IMAGE_FORMAT' });
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0);
  });

  test.each([
    ['its tables behind its end', (image: Buffer) => image.writeBigUInt64LE(1n << 40n, 72)],
    ['its tables in another order', (image: Buffer) => image.writeBigUInt64LE(image.readBigUInt64LE(72), 64)],
    ['a root that is nowhere', (image: Buffer) => image.writeBigUInt64LE(123n << 16n, 32)],
    ['more fragments than it has', (image: Buffer) => image.writeUInt32LE(0x7fff_ffff, 16)],
  ])('with %s are refused', async (_what, change) => {
    const image = packed();
    change(image);
    await expect(list(image)).rejects.toMatchObject({ code: 'IMAGE_FORMAT' });
  });

  test('cannot be had when nothing decompresses them', () => {
    expect(decompressorFor('lz4')).toBeUndefined();
    expect(decompressorFor('lzo')).toBeUndefined();
  });
});
