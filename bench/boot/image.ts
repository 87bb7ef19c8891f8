/** The image whose boot is replayed, as scripts/bench has had it made, and its squashfs in clear. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseKeyFile } from '../../src/image/key-file.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { type PackedImage, packedImage } from '../../test/support/packed-image.ts';

/** Bytes of the header before the encrypted payload. docs/image-format.md. */
const headerBytes = 4096;

export interface BootImage extends PackedImage {
  /** The decrypted squashfs, a local file. */
  plainFile: string;
}

export function bootImage(): BootImage {
  const directory = process.env['TETHERFS_BENCH_IMAGE'];
  if (directory === undefined) throw new Error('run it by scripts/bench, which makes the image');
  const image = packedImage(directory, readFileSync(join(directory, 'packed'), 'utf8'));
  const plain = readFileSync(image.imageFile).subarray(headerBytes);
  loadBinding().xts(plain, parseKeyFile(readFileSync(image.keyFile)), 0, 'decrypt');
  const plainFile = join(process.env['TMPDIR'] ?? '/tmp', 'boot.sfs');
  writeFileSync(plainFile, plain);
  return { ...image, plainFile };
}
