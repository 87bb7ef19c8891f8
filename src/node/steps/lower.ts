/** The squashfs of the image, read-only; of a capture that of each partition. */
import { closeSync } from 'node:fs';
import { describeError, errorCode, TetherfsError } from '../../base/errors.ts';
import type { ImageLayer } from '../../image/layers.ts';
import { loadBinding } from '../../native/binding.ts';
import { lowerPlace, makePlace } from '../places.ts';
import { loadModule } from '../programs.ts';
import { attachImage, type BlockDevice } from './decrypt.ts';
import { layersOf } from './layers.ts';

export interface LowerLayer {
  /** Where it belongs in the root. */
  mountPoint: string;
  /** Where it is mounted. */
  place: string;
}

/** @param keyFile see attachImage. @returns the root's first. */
export async function mountLower(file: string, keyFile: string | undefined): Promise<LowerLayer[]> {
  await loadModule('squashfs');
  const device = await attachImage(file, keyFile);
  const mounted: LowerLayer[] = [];
  try {
    for (const [index, layer] of (await layersOf(device)).entries()) {
      const place = index === 0 ? lowerPlace : `${lowerPlace}-${index}`;
      await mountLayer(device, layer, place);
      mounted.push({ mountPoint: layer.mountPoint, place });
    }
    return mounted;
  } catch (error) {
    // Another try mounts all of them.
    for (const { place } of mounted) await loadBinding().unmount(place, 'lazy');
    throw error;
  } finally {
    device.release();
  }
}

async function mountLayer(device: BlockDevice, { offset, size }: ImageLayer, place: string): Promise<void> {
  const mountFrom = (source: string) =>
    loadBinding().mountFilesystem({ source, target: makePlace(place), type: 'squashfs', readOnly: true });
  try {
    if (size === 0) return await mountFrom(device.path);
    const part = await loadBinding().loopAttach(device.path, offset, size);
    try {
      await mountFrom(part.device);
    } finally {
      closeSync(part.fd);
    }
  } catch (cause) {
    if (errorCode(cause) === 'ENODEV') {
      throw new TetherfsError('INITRAMFS', 'this kernel has no squashfs: its driver is missing', { cause });
    }
    if (errorCode(cause) === 'EINVAL') {
      const what =
        'the image is no squashfs that this kernel can read, or the key is another image’s: its log says more';
      throw new TetherfsError('IMAGE_KIND', what, { cause });
    }
    throw new TetherfsError(
      'MOUNT',
      `the image cannot be mounted as a squashfs (${describeError(cause)}): the kernel's log says why`,
      { cause },
    );
  }
}
