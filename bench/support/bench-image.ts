/** An image of random bytes, so that neither compression nor a cache of equal blocks flatters anybody. */
import { randomFillSync } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type PackedImage, packImage } from '../../test/support/packed-image.ts';

/** Packs `bytes` of noise into an encrypted image below `directory`. */
export async function makeBenchImage(directory: string, bytes: number): Promise<PackedImage> {
  const tree = join(directory, 'tree');
  mkdirSync(tree, { recursive: true });
  const file = openSync(join(tree, 'noise'), 'w');
  const block = Buffer.alloc(1024 * 1024);
  for (let done = 0; done < bytes; done += block.length) writeSync(file, randomFillSync(block));
  closeSync(file);
  return packImage(tree, directory, ['--compression', 'lz4']);
}
