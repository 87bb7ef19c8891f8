import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ImageDigest, parseDigest } from '../../src/image/digest.ts';
import { blockSizes } from '../../src/image/merkle-tree.ts';
import { largestSidecarSize, readSidecar, sidecarSize, verifySidecar } from '../../src/image/sidecar.ts';
import { VerityBuilder } from '../../src/image/verity-builder.ts';
import { wrongBlocks } from '../../src/image/wrong-blocks.ts';
import { memoryImage, noise } from './memory-image.ts';

/** Three levels cost 64 MiB; two, with 129 leaves in two blocks, show the same. */
const image = noise(128 * 4096 + 1);
const { sidecar, digest } = sidecarOf(image, 4096);

function sidecarOf(bytes: Uint8Array, blockSize: number): { sidecar: Uint8Array; digest: ImageDigest } {
  const builder = new VerityBuilder(blockSize);
  builder.update(bytes);
  return builder.finish();
}

function changed(offset: number, ...bytes: number[]): Uint8Array {
  const copy = Uint8Array.from(sidecar);
  copy.set(bytes, offset);
  return copy;
}

describe('a sidecar', () => {
  test('that belongs to the digest gives the hash of each block', () => {
    const verity = verifySidecar(sidecar, digest);
    expect(verity).toMatchObject({ imageSize: image.length, blockSize: 4096, digest, salt: new Uint8Array() });
    expect(verity.leaves).toHaveLength(129 * 32);
  });

  test('of a one-block image holds no tree: its leaf is the root', () => {
    const small = sidecarOf(noise(10), 65536);
    expect(small.sidecar).toHaveLength(256);
    expect(verifySidecar(small.sidecar, small.digest).leaves).toEqual(Uint8Array.from(small.sidecar.subarray(16, 48)));
  });

  test('of another image is refused as that, with both digests', () => {
    const other = sidecarOf(noise(5000, 2), 4096);
    expect(() => verifySidecar(other.sidecar, digest)).toThrow(
      expect.objectContaining({ code: 'DIGEST_MISMATCH', wanted: digest, found: other.digest }),
    );
  });

  test('with any one byte changed is refused', () => {
    fc.assert(
      fc.property(fc.nat(sidecar.length - 1), fc.integer({ min: 1, max: 255 }), (offset, change) => {
        const hostile = changed(offset, (sidecar[offset] ?? 0) ^ change);
        expect(() => verifySidecar(hostile, digest)).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/^(SIDECAR_INVALID|DIGEST_MISMATCH)$/) }),
        );
      }),
      { numRuns: 300 },
    );
  });

  test('cut off or with bytes too many is refused', () => {
    for (const length of [0, 1, 255]) {
      expect(() => verifySidecar(sidecar.subarray(0, length), digest)).toThrow(/cut off in its descriptor/);
    }
    for (const length of [256, 257, sidecar.length - 1]) {
      expect(() => verifySidecar(sidecar.subarray(0, length), digest)).toThrow(/bytes; 12544 belong/);
    }
    expect(() => verifySidecar(Buffer.concat([sidecar, Buffer.alloc(1)]), digest)).toThrow(/12545 bytes; 12544 belong/);
  });

  // The tree as stored: the root's block at 256, then the two blocks of leaves.
  test.each([
    ['the block under the root', 256, /level 1/],
    ['the padding of the block under the root', 256 + 4095, /level 1/],
    ['the padding after the last leaf', 256 + 3 * 4096 - 1, /level 0/],
    ['a leaf', 256 + 4096, /level 1/],
    ['the root', 16, /does not lead to the root/],
  ])('that disagrees with itself in %s is refused even when nobody has a digest', (_what, offset, message) => {
    expect(() => readSidecar(changed(offset, (sidecar[offset] ?? 0) ^ 1))).toThrow(message);
  });

  test.each([
    ['version 2', changed(0, 2), /version 2/],
    ['SHA-512', changed(1, 2), /number 2/],
    ['blocks of 1 byte', changed(2, 0), /block size 2\^0 /],
    ['blocks of 2 MiB', changed(2, 21), /block size 2\^21/],
    ['blocks beyond all measure', changed(2, 255), /block size 2\^255/],
    ['a salt longer than its field', changed(3, 33), /salt of 33/],
    ['a built-in signature', changed(4, 1), /reserved/],
    ['an image of 0 bytes', changed(8, 0, 0, 0, 0), /image size 0/],
    ['an image of 2^64-1 bytes', changed(8, 255, 255, 255, 255, 255, 255, 255, 255), /image size 18446744073709551615/],
    ['an image of 2^52 bytes', changed(8, 0, 0, 0, 0, 0, 0, 16), /belong to an image of 4503599627370496/],
    ['a root longer than SHA-256', changed(48, 1), /reserved/],
    ['salt bytes beyond its length', changed(80, 1), /reserved/],
    ['reserved bytes', changed(255, 1), /reserved/],
  ])('with %s is refused', (_what, hostile, message) => {
    expect(() => readSidecar(hostile)).toThrow(message);
    expect(() => readSidecar(hostile)).toThrow(expect.objectContaining({ code: 'SIDECAR_INVALID' }));
  });

  test('has at most the size that caps fetching it, whatever its blocks', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.constantFrom(...blockSizes), (imageSize, blockSize) => {
        expect(sidecarSize(imageSize + 1, blockSize)).toBeLessThanOrEqual(largestSidecarSize(imageSize + 1));
      }),
    );
    expect(largestSidecarSize(1)).toBe(256);
    expect(largestSidecarSize(2 ** 20 + 1)).toBe(256 + 2 ** 20);
    expect(largestSidecarSize(2 ** 32)).toBe(sidecarSize(2 ** 32, 4096));
  });
});

describe('checking a whole image', () => {
  // More than is read at once.
  const large = noise(2_500_000);
  const verity = readSidecar(sidecarOf(large, 4096).sidecar);

  test('finds nothing wrong with the right bytes', async () => {
    expect(await Array.fromAsync(wrongBlocks(memoryImage(large), verity))).toEqual([]);
  });

  test('names exactly the blocks in which bytes were changed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(large.length - 1), { maxLength: 5 }), async (offsets) => {
        const damaged = Uint8Array.from(large);
        for (const offset of offsets) damaged[offset] = (damaged[offset] ?? 0) ^ 0x80;
        const blocks = [...new Set(offsets.map((offset) => offset - (offset % 4096)))].sort((a, b) => a - b);
        const expected = blocks.map((offset) => ({ offset, length: Math.min(4096, large.length - offset) }));
        expect(await Array.fromAsync(wrongBlocks(memoryImage(damaged), verity))).toEqual(expected);
      }),
      { numRuns: 20 },
    );
  });

  test('of another size is refused as a whole', async () => {
    const checking = Array.fromAsync(wrongBlocks(memoryImage(large.subarray(1)), verity));
    await expect(checking).rejects.toThrow(/has 2499999 bytes, its fs-verity sidecar is for one of 2500000/);
  });
});

describe('a digest in text', () => {
  const hex = 'ab'.repeat(32);

  test.each([`sha256:${hex}`, hex, hex.toUpperCase(), ` SHA256:${hex}\n`])('is read from %j', (text) => {
    expect(parseDigest(text)).toBe(`sha256:${hex}`);
  });

  test.each([
    '',
    'sha256:',
    hex.slice(1),
    `${hex}00`,
    `sha512:${hex}`,
    `sha256:${hex.replace('a', 'g')}`,
    `${hex} file`,
  ])('is not read from %j, which is wrong usage', (text) => {
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: 'USAGE', exitStatus: 2 }));
  });
});
