/**
 * The file systems of an image in clear: one squashfs, or, of a machine that was captured, one for each of its partitions.
 */
import { posix } from 'node:path';
import { TetherfsError } from '../base/errors.ts';
import { headerSize, imageLayout } from './header.ts';
import { type ImageSource, readHead } from './image-source.ts';
import { listPartitions } from './partitions.ts';

export interface ImageLayer {
  /** Where it belongs in the root: `/`, `/var`. */
  readonly mountPoint: string;
  /** Where its squashfs begins, in bytes. */
  readonly offset: number;
  /** Bytes from there on; 0 for all of the image. */
  readonly size: number;
}

/**
 * The root's first, and each behind those that it lies in. What is neither squashfs nor capture counts as one layer: whoever reads it finds out.
 * @throws TetherfsError IMAGE_KIND when there is no root, or a place that makes no sense; IMAGE_FORMAT
 */
export async function imageLayers(payload: ImageSource): Promise<ImageLayer[]> {
  if (imageLayout(await readHead(payload, headerSize)).format !== 'partitions')
    return [{ mountPoint: '/', offset: 0, size: 0 }];
  const found = await listPartitions(payload);
  const layers = found.map(({ mountPoint, offset, size }) => ({ mountPoint, offset, size }));
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
