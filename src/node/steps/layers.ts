/**
 * The file systems of an image: one squashfs, or, of a machine that was captured, one for each of its partitions.
 */
import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import { TetherfsError } from '../../base/errors.ts';
import { headerSize, imageLayout } from '../../image/header.ts';
import { listPartitions } from '../../image/partitions.ts';
import type { BlockDevice } from './decrypt.ts';

export interface ImageLayer {
  /** Where it belongs in the root: `/`, `/var`. */
  mountPoint: string;
  /** Where its squashfs lies on the device, in bytes. */
  offset: number;
  /** Of the device from there on: 0 for all of it. */
  size: number;
}

/** The root's first, and each behind those that it lies in. @throws TetherfsError IMAGE_KIND when there is no root, or a place that makes no sense; IMAGE_FORMAT */
export async function layersOf({ path, size }: Pick<BlockDevice, 'path' | 'size'>): Promise<ImageLayer[]> {
  await using device = await open(path);
  const read = async ({ offset, length }: { offset: number; length: number }) => {
    const { buffer, bytesRead } = await device.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  };
  const head = await read({ offset: 0, length: Math.min(headerSize, size) });
  // What else it is the kernel finds out.
  if (imageLayout(head).format !== 'partitions') return [{ mountPoint: '/', offset: 0, size: 0 }];
  const found = await listPartitions({ size, read });
  const layers = found.map(({ mountPoint, offset, size: bytes }) => ({ mountPoint, offset, size: bytes }));
  const wrong = layers.find(({ mountPoint }) => !isPlace(mountPoint));
  if (wrong !== undefined)
    throw new TetherfsError('IMAGE_KIND', `the capture has a partition for ${wrong.mountPoint}, which is no place`);
  const places = layers.map(({ mountPoint }) => mountPoint);
  if (!places.includes('/') || new Set(places).size < places.length)
    throw new TetherfsError(
      'IMAGE_KIND',
      `the capture is of ${places.join(', ')}: no root file system, or two at one place`,
    );
  return layers.sort((a, b) => depthOf(a.mountPoint) - depthOf(b.mountPoint));
}

function isPlace(path: string): boolean {
  return path.startsWith('/') && posix.normalize(path) === path && (path === '/' || !path.endsWith('/'));
}

function depthOf(path: string): number {
  return path === '/' ? 0 : path.split('/').length;
}
