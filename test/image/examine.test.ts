import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { examineImage } from '../../src/image/examine.ts';
import { makeEncryptedHeader } from '../../src/image/header.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const temp = makeTempDir('examine');
afterAll(() => temp.remove());
mkdirSync(join(temp.path, 'tree'));
writeFileSync(join(temp.path, 'tree/file'), randomBytes(100_000));
execFileSync('mksquashfs', [join(temp.path, 'tree'), join(temp.path, 'sfs'), '-quiet', '-no-progress']);
const squashfs = readFileSync(join(temp.path, 'sfs'));
const encrypted = Buffer.concat([makeEncryptedHeader(), Buffer.alloc(4096, 7)]);

describe('what can be an image', () => {
  test.each<[string, Buffer, number, string | undefined, string]>([
    ['a squashfs', squashfs, squashfs.length, undefined, 'valid'],
    ['a squashfs that is padded', squashfs, squashfs.length + 100_000, 'text/plain', 'valid'],
    ['a squashfs that its server calls a web page', squashfs, squashfs.length, 'text/html', 'unknown'],
    ['an encrypted image, of which nothing tells the end', encrypted, encrypted.length, undefined, 'unbounded'],
    ['bytes of no format', Buffer.alloc(4096, 7), 4096, 'application/octet-stream', 'unknown'],
  ])('%s', (_, bytes, size, type, expected) => {
    expect(examineImage(bytes.subarray(0, 8192), size, type)).toBe(expected);
  });
});

describe('what cannot', () => {
  test.each<[string, Buffer, number, string | undefined, RegExp]>([
    ['half a squashfs', squashfs, squashfs.length >> 1, undefined, /cut off/],
    ['an encrypted image that is not whole sectors', encrypted, encrypted.length - 1, undefined, /cut off/],
    ['an encrypted image of its header alone', encrypted, 4096, undefined, /no payload/],
    ['a web page by its text', Buffer.from('\n<!DOCTYPE html><title>404'), 26, undefined, /web page/],
    ['a web page by its type', Buffer.from('Sorry!'), 6, 'text/html; charset=utf-8', /web page/],
  ])('%s', (_, bytes, size, type, why) => {
    expect(() => examineImage(bytes.subarray(0, 8192), size, type)).toThrowError(
      expect.objectContaining({ code: 'IMAGE_FORMAT', message: expect.stringMatching(why) }),
    );
  });
});
