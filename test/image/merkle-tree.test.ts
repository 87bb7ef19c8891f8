import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { pieces } from '../../src/image/image-source.ts';
import { readSidecar, sidecarSize } from '../../src/image/sidecar.ts';
import { VerityBuilder } from '../../src/image/verity-builder.ts';
import { openFileSource } from '../../src/imgutil/file-source.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { noise } from './memory-image.ts';

const directory = makeTempDir('merkle');
afterAll(() => directory.remove());

const KiB = 1024;
const MiB = 1024 * KiB;

/** A sparse file with some bytes in its first and last block. */
function makeFile(size: number): string {
  const path = join(directory.path, 'image');
  const file = openSync(path, 'w');
  ftruncateSync(file, size);
  writeSync(file, noise(Math.min(size, 100), size), 0, Math.min(size, 100), 0);
  writeSync(file, 'z', size - 1);
  closeSync(file);
  return path;
}

/** Debian's fsverity: the measure. */
function fsverity(path: string, blockSize: number, salt: Uint8Array): { digest: string; sidecar: Buffer } {
  const [tree, descriptor] = [join(directory.path, 'tree'), join(directory.path, 'descriptor')];
  const printed = execFileSync('fsverity', [
    ...[
      'digest',
      '--compact',
      `--block-size=${blockSize}`,
      `--out-merkle-tree=${tree}`,
      `--out-descriptor=${descriptor}`,
    ],
    ...(salt.length === 0 ? [] : [`--salt=${Buffer.from(salt).toString('hex')}`]),
    path,
  ]);
  const digest = `sha256:${printed.toString().trim().split(' ')[0]}`;
  return { digest, sidecar: Buffer.concat([readFileSync(descriptor), readFileSync(tree)]) };
}

async function ours(path: string, blockSize: number, salt: Uint8Array) {
  const builder = new VerityBuilder(blockSize, salt);
  await using source = await openFileSource(path);
  // Pieces that begin and end anywhere in a block.
  for await (const piece of pieces(source, 300_001)) builder.update(piece);
  return builder.finish();
}

describe('sidecar and digest are those of the fsverity tool', () => {
  const noSalt = new Uint8Array();
  test.each([
    [4 * KiB, 1, 'one byte'],
    [4 * KiB, 4095, 'not quite a block'],
    [4 * KiB, 4096, 'exactly a block'],
    [4 * KiB, 4097, 'a block and a byte'],
    [4 * KiB, 128 * 4096, 'a full tree block'],
    [4 * KiB, 128 * 4096 + 1, 'two levels'],
    [4 * KiB, 128 * 128 * 4096, 'two full levels'],
    [4 * KiB, 128 * 128 * 4096 + 1, 'three levels'],
    [64 * KiB, 1, 'one byte'],
    [64 * KiB, 64 * KiB, 'exactly a block'],
    [64 * KiB, 64 * KiB + 1, 'a block and a byte'],
    [64 * KiB, 128 * MiB, 'a full tree block'],
    [64 * KiB, 128 * MiB + 1, 'two levels'],
    [128 * KiB, 1, 'one byte'],
    [128 * KiB, 128 * KiB, 'exactly a block'],
    [128 * KiB, 5 * MiB + 3, 'one level'],
    [1 * MiB, 5 * MiB + 3, 'one level'],
  ])('for blocks of %i bytes and an image of %i: %s', async (blockSize, size) => {
    const path = makeFile(size);
    const expected = fsverity(path, blockSize, noSalt);
    const { digest, sidecar } = await ours(path, blockSize, noSalt);
    expect(digest).toBe(expected.digest);
    expect(expected.sidecar.equals(sidecar)).toBe(true);
    expect(sidecarSize(size, blockSize)).toBe(sidecar.length);
  });

  test.each([1, 31, 32])('with a salt of %i bytes', async (saltSize) => {
    const path = makeFile(128 * 4096 + 1);
    const salt = noise(saltSize, saltSize);
    const expected = fsverity(path, 4096, salt);
    const { digest, sidecar } = await ours(path, 4096, salt);
    expect(digest).toBe(expected.digest);
    expect(expected.sidecar.equals(sidecar)).toBe(true);
    expect(readSidecar(expected.sidecar)).toMatchObject({ digest, salt: Uint8Array.from(salt), blockSize: 4096 });
  });
});

/** The tree by its definition: hash every block, write the hashes down, begin again with those until one is left. */
function modelHashes(data: Uint8Array, blockSize: number, salt: Uint8Array): { leaves: Buffer; root: Buffer } {
  const paddedSalt = Buffer.alloc(salt.length === 0 ? 0 : 64);
  paddedSalt.set(salt);
  const hashes: Buffer[] = [];
  for (let offset = 0; offset < data.length; offset += blockSize) {
    const block = Buffer.alloc(blockSize);
    block.set(data.subarray(offset, offset + blockSize));
    hashes.push(createHash('sha256').update(paddedSalt).update(block).digest());
  }
  const leaves = Buffer.concat(hashes);
  return { leaves, root: hashes.length === 1 ? leaves : modelHashes(leaves, blockSize, salt).root };
}

describe('the Merkle tree', () => {
  test('has the leaves and the root of its definition, however the bytes arrive', () => {
    const size = fc.oneof(
      fc.integer({ min: 1, max: 20_000 }),
      fc.integer({ min: 1, max: 300 }).map((blocks) => blocks * 4096),
    );
    const cuts = fc.array(fc.nat(1_300_000), { maxLength: 8 });
    const blockSizes = fc.constantFrom(4096, 8192, 65536);
    fc.assert(
      fc.property(size, cuts, blockSizes, fc.uint8Array({ maxLength: 32 }), (length, points, blockSize, salt) => {
        const data = noise(length, length);
        const builder = new VerityBuilder(blockSize, salt);
        const borders = [0, ...points.filter((point) => point < length).sort((a, b) => a - b), length];
        for (const [index, border] of borders.entries())
          builder.update(data.subarray(border, borders[index + 1] ?? length));
        const { sidecar, digest } = builder.finish();
        const { leaves, root } = modelHashes(data, blockSize, salt);
        expect(Buffer.from(sidecar).subarray(16, 48)).toEqual(root);
        const verity = readSidecar(sidecar);
        expect(verity).toMatchObject({ digest, imageSize: length, blockSize, salt });
        expect(leaves.equals(verity.leaves)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('of no bytes does not exist', () => {
    expect(() => new VerityBuilder().finish()).toThrow(/empty image/);
  });

  test.each([0, 1, 2048, 5000, 2 ** 21, Number.NaN])('of blocks of %d bytes is refused', (blockSize) => {
    expect(() => new VerityBuilder(blockSize)).toThrow(RangeError);
  });
});
