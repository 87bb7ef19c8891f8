/** `uncompressed`: the tree unpacked into RAM. Nothing of the image is kept, and no daemon: the dearest in memory, and the fastest to read. */
import { TetherfsError } from '../../base/errors.ts';
import { formatSize } from '../../base/size.ts';
import { availableMemory } from '../../mount/memory-check.ts';
import { unmount } from '../../mount/unmount.ts';
import { loadBinding } from '../../native/binding.ts';
import { RootTree } from '../identity/root-tree.ts';
import { imagePlace, isMounted, rootSource } from '../places.ts';
import { run } from '../programs.ts';
import { attachImage, removeMapping } from './decrypt.ts';
import { layersOf } from './layers.ts';

/** What must be left for the machine, in bytes. */
const margin = 256 * 1024 ** 2;

/** @throws TetherfsError MEMORY_SHORT when the tree does not fit. @param keyFile see attachImage. */
export async function unpack(
  file: string,
  keyFile: string | undefined,
  root: string,
  signal: AbortSignal,
): Promise<void> {
  if (isMounted(root)) await loadBinding().unmount(root, 'normal');
  const room = availableMemory() - margin;
  if (room <= 0) throw tooLittle(room + margin);
  await loadBinding().mountFilesystem({
    source: rootSource,
    target: root,
    type: 'tmpfs',
    data: `mode=755,size=${room}`,
    readOnly: false,
  });
  const device = await attachImage(file, keyFile);
  try {
    for (const { mountPoint, offset } of await layersOf(device)) {
      const place = await new RootTree(root).makeDirectory(mountPoint);
      // Its queues are small, beside what it makes; 2: what cannot be set on a tmpfs (xattrs, before Linux 6.6) it passes over.
      const words = ['-no-progress', '-force', '-data-queue', '16', '-frag-queue', '16', '-offset', String(offset)];
      await run('unsquashfs', [...words, '-dest', place, device.path], {
        package: 'squashfs-tools',
        done: [0, 2],
        signal,
      });
    }
  } catch (error) {
    if (availableMemory() < margin * 1.1) throw tooLittle(room);
    throw error;
  } finally {
    device.release();
  }
  if (keyFile !== undefined) await removeMapping();
}

/** Nothing of the image is needed any more. */
export async function releaseImage(): Promise<void> {
  if (isMounted(imagePlace)) await unmount(imagePlace, 'lazy');
}

function tooLittle(room: number): TetherfsError {
  return new TetherfsError(
    'MEMORY_SHORT',
    `the unpacked image does not fit into memory: ${formatSize(Math.max(0, room))} are left for it; use another image method, or a machine with more memory`,
  );
}
