import { createCipheriv, createDecipheriv } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decryptedSource, encryptedImageSize, encryptImage } from '../../src/image/encryption.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { collect, memoryImage, noise } from './memory-image.ts';

const { xts } = loadBinding();

/** dm-crypt's aes-xts-plain64 by OpenSSL, a sector a call: a second opinion on every byte. */
function opensslXts(data: Uint8Array, key: Uint8Array, firstSector: number, direction: 'encrypt' | 'decrypt'): Buffer {
  const make = direction === 'encrypt' ? createCipheriv : createDecipheriv;
  const sectors: Buffer[] = [];
  for (let offset = 0; offset < data.length; offset += 512) {
    const iv = Buffer.alloc(16);
    iv.writeBigUInt64LE(BigInt(firstSector + offset / 512));
    sectors.push(make(`aes-${key.length * 4}-xts`, key, iv).update(data.subarray(offset, offset + 512)));
  }
  return Buffer.concat(sectors);
}

const key = noise(32, 7);

describe('AES-XTS', () => {
  test('gives the known answer of IEEE 1619, vector 4', () => {
    const data = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256));
    xts(data, Buffer.from('2718281828459045235360287471352631415926535897932384626433832795', 'hex'), 0, 'encrypt');
    expect(data.toString('hex', 0, 32)).toBe('27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c');
    expect(data.toString('hex', 496)).toBe('0a282df920147beabe421ee5319d0568');
  });

  test('agrees with OpenSSL for both key sizes, any sectors, beyond 32 bits of sector number', () => {
    const sectorNumber = fc.oneof(fc.nat(100), fc.integer({ min: 2 ** 32 - 2, max: 2 ** 40 }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), sectorNumber, fc.constantFrom(32, 64), (sectors, first, keySize) => {
        const clear = noise(sectors * 512, sectors);
        const longKey = noise(keySize, keySize);
        const data = Buffer.from(clear);
        xts(data, longKey, first, 'encrypt');
        expect(data).toEqual(opensslXts(clear, longKey, first, 'encrypt'));
        xts(data, longKey, first, 'decrypt');
        expect(data).toEqual(clear);
      }),
    );
  });
});

describe('an encrypted image', () => {
  const sizes = [1, 511, 512, 513, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000];

  test.each(sizes)('of a payload of %i bytes is the header and its sectors, padded with zeros', async (size) => {
    const payload = noise(size);
    const image = await collect(encryptImage(memoryImage(payload), key, xts));
    expect(image.length).toBe(encryptedImageSize(size));
    expect(image.toString('latin1', 16, 37)).toBe('\x14CONFLUENT_CRYPTIMAGE');
    const decrypted = opensslXts(image.subarray(4096), key, 0, 'decrypt');
    expect(decrypted.subarray(0, size).equals(payload)).toBe(true);
    expect(decrypted.subarray(size).every((byte) => byte === 0)).toBe(true);
  });

  test('is decrypted at any offset and length', async () => {
    const payload = noise(20 * 512);
    const image = await collect(encryptImage(memoryImage(payload), key, xts));
    const source = decryptedSource(memoryImage(image), key, xts);
    expect(source.size).toBe(payload.length);
    await fc.assert(
      fc.asyncProperty(fc.nat(payload.length - 1), fc.integer({ min: 1, max: 3000 }), async (offset, wanted) => {
        const length = Math.min(wanted, payload.length - offset);
        const bytes = await source.read({ offset, length });
        expect(payload.subarray(offset, offset + length).equals(bytes)).toBe(true);
      }),
    );
  });

  test('that is cut off within a sector is refused', () => {
    expect(() => decryptedSource(memoryImage(Buffer.alloc(4096 + 700)), key, xts)).toThrow(/cut off/);
  });
});
