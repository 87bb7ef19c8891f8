/** A real directory to pack, and its image undone by other means than ours. */
import { execFileSync } from 'node:child_process';
import { createDecipheriv } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { noise } from './memory-image.ts';

/** About 3 MB that do not compress, and one of each thing that a root filesystem has. */
export function makeTree(path: string): string {
  mkdirSync(join(path, 'etc/empty'), { recursive: true });
  mkdirSync(join(path, 'usr/bin'), { recursive: true });
  writeFileSync(join(path, 'etc/hostname'), 'node\n');
  writeFileSync(join(path, 'usr/bin/tool'), noise(3_000_000));
  chmodSync(join(path, 'usr/bin/tool'), 0o4755);
  symlinkSync('usr/bin', join(path, 'bin'));
  return path;
}

/** The payload of an encrypted image by OpenSSL, with the key as the key file has it. */
export function decryptImage(image: Uint8Array, keyFile: string): Buffer {
  const [cipher, digits = ''] = keyFile.split('\n');
  if (cipher !== 'aes-xts-plain64') throw new Error(`cipher is ${cipher}`);
  const sectors: Buffer[] = [];
  for (let offset = 4096; offset < image.length; offset += 512) {
    const iv = Buffer.alloc(16);
    iv.writeBigUInt64LE(BigInt(offset / 512 - 8));
    sectors.push(
      createDecipheriv('aes-128-xts', Buffer.from(digits, 'hex'), iv).update(image.subarray(offset, offset + 512)),
    );
  }
  return Buffer.concat(sectors);
}

/** Unpacks a squashfs and compares it with the tree it was made of. @throws Error with diff's words where they differ. */
export function compareWithTree(squashfs: string, tree: string, scratch: string): void {
  execFileSync('unsquashfs', ['-quiet', '-no-progress', '-d', scratch, squashfs]);
  execFileSync('diff', ['-r', '--no-dereference', tree, scratch], { encoding: 'utf8' });
  const listing = (directory: string) =>
    execFileSync('find', ['.', '-printf', '%p %M %U %T@ %l\n'], { cwd: directory, encoding: 'utf8' })
      .replace(/\.\d{10} /g, ' ')
      .split('\n')
      .sort()
      .join('\n');
  if (listing(tree) !== listing(scratch)) throw new Error(`${listing(tree)} is not ${listing(scratch)}`);
}

export function readText(path: string): string {
  return readFileSync(path, 'utf8');
}
