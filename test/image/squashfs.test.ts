import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseSuperblock } from '../../src/image/squashfs.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const directory = makeTempDir('squashfs');
afterAll(() => directory.remove());

function realSquashfs(...flags: string[]): Buffer {
  const tree = join(directory.path, 'file');
  writeFileSync(tree, 'content');
  const output = join(directory.path, 'image.sfs');
  execFileSync('mksquashfs', [tree, output, '-noappend', '-quiet', '-no-progress', ...flags], {
    env: { PATH: process.env['PATH'], SOURCE_DATE_EPOCH: '1700000000' },
  });
  return readFileSync(output);
}

describe('a squashfs superblock', () => {
  test.each([
    ['zstd', 131072],
    ['xz', 1048576],
    ['gzip', 4096],
    ['lz4', 65536],
  ])('of mksquashfs -comp %s -b %i tells what it was made with', (compression, blockSize) => {
    const image = realSquashfs('-comp', compression, '-b', String(blockSize));
    const superblock = parseSuperblock(image, image.length);
    expect(superblock).toMatchObject({ compression, blockSize, inodes: 2, madeAt: new Date(1700000000_000) });
    // mksquashfs pads the file to 4096 bytes.
    expect(Math.ceil(superblock.bytesUsed / 4096) * 4096).toBe(image.length);
  });

  const good = realSquashfs();
  const changed = (offset: number, ...bytes: number[]) => {
    const image = Buffer.from(good);
    image.set(bytes, offset);
    return image;
  };

  test.each([
    ['another magic', changed(0, 0), /no squashfs superblock/],
    ['version 3.0', changed(28, 3), /version 3\.0/],
    ['an unknown compression', changed(20, 9), /compression 9/],
    ['no compression', changed(20, 0), /compression 0/],
    ['a block size that its logarithm denies', changed(22, 16), /logarithm 16/],
    ['a block size beyond 1 MiB', changed(12, 0, 0, 0x20, 0, 0, 0, 0, 0, 1, 0, 21), /makes no sense/],
    ['more bytes than there are', changed(40, 0xff, 0xff, 0xff), /cut off or damaged/],
    ['a size beyond all measure', changed(40, 255, 255, 255, 255, 255, 255, 255, 255), /cut off or damaged/],
    ['fewer bytes than itself', changed(40, 95, 0, 0), /cut off or damaged/],
    ['no 96 bytes', good.subarray(0, 95), /ends in its superblock/],
  ])('with %s is refused', (_what, image, message) => {
    expect(() => parseSuperblock(image, image.length)).toThrow(message);
  });
});
