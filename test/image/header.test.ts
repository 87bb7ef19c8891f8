import { describe, expect, test } from 'vitest';
import { encryptedPayloadSize, imageLayout, makeEncryptedHeader } from '../../src/image/header.ts';

/** Written out from confluent's format, not from our code. */
const encryptedStart = Buffer.concat([
  Buffer.from('aad50f7e5dfb4b7ca12af40b6d94f7fc', 'hex'),
  Buffer.from('14', 'hex'),
  Buffer.from('CONFLUENT_CRYPTIMAGE\0'),
]);
const captureStart = Buffer.from('637b9d26b7fd483089f911cf18fdffa10f434f4e464c55454e545f494d414745', 'hex');

function head(start: Uint8Array): Buffer {
  return Buffer.concat([start, Buffer.alloc(4096 - start.length)]);
}

describe('the first 4096 bytes of an image', () => {
  test('an encrypted image is told by its header, which is hidden once decrypted', () => {
    expect(imageLayout(head(encryptedStart))).toEqual({
      format: 'encrypted',
      label: 'CONFLUENT_CRYPTIMAGE',
      hiddenBytes: 4096,
    });
  });

  test('the header we make is confluent’s, byte for byte, and zeros', () => {
    expect(Buffer.from(makeEncryptedHeader())).toEqual(head(encryptedStart));
  });

  test('a multi-partition capture is told by its header', () => {
    expect(imageLayout(head(captureStart))).toEqual({ format: 'partitions', label: 'CONFLUENT_IMAGE', hiddenBytes: 0 });
  });

  test('a squashfs is told by its magic', () => {
    expect(imageLayout(head(Buffer.from('hsqs')))).toEqual({ format: 'squashfs', hiddenBytes: 0 });
  });

  test.each([
    ['nothing at all', Buffer.alloc(0)],
    ['zeros', Buffer.alloc(4096)],
    ['a shortened magic', encryptedStart.subarray(0, 15)],
    ['a web page', Buffer.from('<!doctype html>')],
  ])('%s is of unknown format', (_what, bytes) => {
    expect(imageLayout(bytes)).toEqual({ format: 'unknown', hiddenBytes: 0 });
  });

  test('an image cut off in its header is refused', () => {
    expect(() => imageLayout(head(encryptedStart).subarray(0, 4095))).toThrow(/ends in its header, at byte 4095/);
    expect(() => imageLayout(encryptedStart.subarray(0, 20))).toThrow(/its label is another/);
  });

  test('an encrypted image of a kind that nobody knows yet is refused', () => {
    const bytes = head(encryptedStart);
    bytes[37] = 7;
    expect(() => imageLayout(bytes)).toThrow(/of kind 7/);
  });

  test('a confluent magic with another label is refused', () => {
    const bytes = head(captureStart);
    bytes[16] = 255;
    expect(() => imageLayout(bytes)).toThrow(expect.objectContaining({ code: 'IMAGE_FORMAT' }));
  });
});

describe('the size of an encrypted payload', () => {
  test('is what comes after the header', () => {
    expect(encryptedPayloadSize(4096 + 512)).toBe(512);
  });

  test.each([0, 4096, 4097, 4096 + 511, 4096 + 513])('an image of %i bytes is cut off', (size) => {
    expect(() => encryptedPayloadSize(size)).toThrow(expect.objectContaining({ code: 'IMAGE_FORMAT' }));
  });
});
