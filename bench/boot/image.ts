/** The images whose boot is replayed, as scripts/bench has had them made, and their squashfs in clear. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { headerSize } from '../../src/image/header.ts';
import { parseKeyFile } from '../../src/image/key-file.ts';
import { openFileSource } from '../../src/imgutil/file-source.ts';
import { placedFiles } from '../../src/imgutil/placed-files.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { type PackedImage, packedImage } from '../../test/support/packed-image.ts';

export interface BootImage extends PackedImage {
  /** The decrypted squashfs, a local file. */
  plainFile: string;
}

/** The system that is booted, and the list of its files in the order of its boot. */
export const system = environment('SYSTEM');
export const bootList = fileURLToPath(new URL(`./${system}.txt`, import.meta.url));
/** The root filesystem that the images are made of. */
export const bootRoot = environment('ROOT');

/** Packed in the order of the directories, or of the boot. */
export function bootImage(order: 'directories' | 'boot' = 'directories'): BootImage {
  const directory = environment(order === 'boot' ? 'ORDERED' : 'IMAGE');
  return withPlainFile(packedImage(directory, readFileSync(join(directory, 'packed'), 'utf8')), order);
}

/** @param name for the decrypted file. */
export function withPlainFile(image: PackedImage, name: string): BootImage {
  const plain = readFileSync(image.imageFile).subarray(headerSize);
  loadBinding().xts(plain, parseKeyFile(readFileSync(image.keyFile), image.keyFile), 0, 'decrypt');
  const plainFile = join(process.env['TMPDIR'] ?? '/tmp', `${name}.sfs`);
  writeFileSync(plainFile, plain);
  return { ...image, plainFile };
}

/** Bytes of the image that these files take, compressed as they are, and its metadata: the least that a boot can do with. */
export async function neededBytes(image: BootImage, paths: readonly string[]): Promise<number> {
  await using source = await openFileSource(image.plainFile);
  const { files: squashfs } = await placedFiles(source, { keys: [], xts: undefined, chunkSize: 65536 });
  const byPath = new Map(squashfs.files.map((file) => [file.path, file]));
  const sum = (lengths: readonly number[]) => lengths.reduce((total, length) => total + length, 0);
  const starts = new Map<number, number>();
  const fragments = new Set<number>();
  for (const path of paths) {
    const file = byPath.get(path);
    if (file === undefined) throw new Error(`${path} is not in the image`);
    if (file.blocks.length > 0) starts.set(file.start, sum(file.blocks));
    if (file.fragment !== undefined) fragments.add(file.fragment);
  }
  const inFragments = sum([...fragments].map((fragment) => squashfs.fragments[fragment]?.length ?? 0));
  return sum([...starts.values()]) + inFragments + sum(squashfs.metadata.map(({ length }) => length));
}

export function bootPaths(): string[] {
  return readFileSync(bootList, 'latin1')
    .split('\n')
    .filter((line) => line.startsWith('/'));
}

function environment(name: string): string {
  const value = process.env[`TETHERFS_BENCH_${name}`];
  if (value === undefined) throw new Error('run it by scripts/bench, which makes the images');
  return value;
}
