/** The format is confluent's, not ours alone: what OpenSSL makes of its description opens here, and what is packed here opens there. A boot opens it by the kernel's dm-crypt (test/boot/tethered). */
import { execFileSync, spawnSync } from 'node:child_process';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tetherfsCommand } from '../support/daemon.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { capture } from './captured.ts';

const headerBytes = 4096;
const sectorBytes = 512;
const magic = Buffer.from('aad50f7e5dfb4b7ca12af40b6d94f7fc', 'hex');
const label = 'CONFLUENT_CRYPTIMAGE';

let directory: TempDir;
const at = (...path: string[]) => join(directory.path, ...path);
beforeEach(() => {
  directory = makeTempDir('interoperation');
  mkdirSync(at('tree/etc'), { recursive: true });
  writeFileSync(at('tree/etc/hostname'), 'node\n');
  writeFileSync(at('tree/large'), randomBytes(3_000_001));
});
afterEach(() => directory.remove());

/** A sector at a time, as dm-crypt does it: Documentation/admin-guide/device-mapper/dm-crypt.rst, `plain64`. */
function bySectors(data: Buffer, key: Buffer, make: typeof createCipheriv | typeof createDecipheriv): Buffer {
  const sectors: Buffer[] = [];
  for (let sector = 0; sector * sectorBytes < data.length; sector++) {
    const iv = Buffer.alloc(16);
    iv.writeBigUInt64LE(BigInt(sector));
    const piece = data.subarray(sector * sectorBytes, (sector + 1) * sectorBytes);
    sectors.push(make('aes-128-xts', key, iv).update(piece));
  }
  return Buffer.concat(sectors);
}

/** Image and key file as confluent's tool writes them. */
function encrypted(clear: Buffer): { image: string; key: string } {
  const key = randomBytes(32);
  const header = Buffer.alloc(headerBytes);
  Buffer.concat([magic, Buffer.from([label.length]), Buffer.from(label)]).copy(header);
  const padded = Buffer.concat([clear, Buffer.alloc(-clear.length & (sectorBytes - 1))]);
  writeFileSync(at('rootimg.sfs'), Buffer.concat([header, bySectors(padded, key, createCipheriv)]));
  writeFileSync(at('rootimg.key'), `aes-xts-plain64\n${key.toString('hex')}\n`);
  return { image: at('rootimg.sfs'), key: at('rootimg.key') };
}

function squashfs(tree: string): Buffer {
  execFileSync('mksquashfs', [tree, at('clear.sfs'), '-noappend', '-quiet', '-no-progress', '-comp', 'xz']);
  return readFileSync(at('clear.sfs'));
}

function tetherfs(...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(tetherfsCommand, words, { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

/** @returns what differs. */
function difference(a: string, b: string): string {
  return spawnSync('diff', ['--recursive', a, b], { encoding: 'utf8' }).stdout;
}

test('an image that OpenSSL has made opens', () => {
  const { image, key } = encrypted(squashfs(at('tree')));
  expect(tetherfs('image', 'info', '--key-file', key, image)).toMatch(/squashfs/);
  tetherfs('image', 'unpack', '--key-file', key, image, at('again'));
  expect(difference(at('tree'), at('again'))).toBe('');
});

test('a capture of several file systems, encrypted, opens', () => {
  mkdirSync(at('home/one'), { recursive: true });
  writeFileSync(at('home/one/file'), 'of one\n');
  const root = squashfs(at('tree'));
  const home = squashfs(at('home'));
  const part = (mountPoint: string, data: Buffer) => {
    const sizes = { minimumSize: data.length, initialSize: data.length };
    return { mountPoint, json: '{}', filesystem: 'xfs', device: '/dev/sda', ...sizes, data };
  };
  const { image, key } = encrypted(capture([part('/', root), part('/home', home)]).bytes);
  mkdirSync(at('tree/home'));
  tetherfs('image', 'unpack', '--key-file', key, image, at('again'));
  expect(readFileSync(at('again/home/one/file'), 'utf8')).toBe('of one\n');
  expect(readFileSync(at('again/etc/hostname'), 'utf8')).toBe('node\n');
});

test('an image that is packed here is decrypted by OpenSSL, and read by unsquashfs', () => {
  tetherfs('image', 'pack', '--private-dir', at('private'), at('tree'), at('public'));
  const image = readFileSync(at('public/rootimg.sfs'));
  expect(image.subarray(0, 16)).toEqual(magic);
  expect(image.toString('latin1', 16, 38)).toBe(`\x14${label}\0`);
  expect((image.length - headerBytes) % sectorBytes).toBe(0);
  const [cipher, key = ''] = readFileSync(at('private/pending/rootimg.key'), 'latin1').split('\n');
  expect(cipher).toBe('aes-xts-plain64');
  const clear = bySectors(image.subarray(headerBytes), Buffer.from(key, 'hex'), createDecipheriv);
  writeFileSync(at('opened.sfs'), clear);
  expect(statSync(at('private/pending/rootimg.key')).mode & 0o077).toBe(0);
  execFileSync('unsquashfs', ['-quiet', '-no-progress', '-d', at('again'), at('opened.sfs')]);
  expect(difference(at('tree'), at('again'))).toBe('');
  expect(existsSync(at('again/large'))).toBe(true);
});
