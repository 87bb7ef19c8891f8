/** The file systems of the image on a block device. */
import { open } from 'node:fs/promises';
import { type ImageLayer, imageLayers } from '../../image/layers.ts';
import type { BlockDevice } from './decrypt.ts';

/** @throws as imageLayers */
export async function layersOf({ path, size }: Pick<BlockDevice, 'path' | 'size'>): Promise<ImageLayer[]> {
  await using device = await open(path);
  return await imageLayers({
    size,
    async read({ offset, length }) {
      const { buffer, bytesRead } = await device.read(Buffer.alloc(length), 0, length, offset);
      return buffer.subarray(0, bytesRead);
    },
  });
}
