/** The squashfs, read-only. */
import { describeError, errorCode, TetherfsError } from '../../base/errors.ts';
import { loadBinding } from '../../native/binding.ts';
import { isMounted, lowerPlace, makePlace } from '../places.ts';
import { loadModule } from '../programs.ts';
import { attachImage } from './decrypt.ts';

/** @param keyFile see attachImage. */
export async function mountLower(file: string, keyFile: string | undefined): Promise<void> {
  if (isMounted(lowerPlace)) return;
  await loadModule('squashfs');
  const device = await attachImage(file, keyFile);
  try {
    await loadBinding().mountFilesystem({
      source: device.path,
      target: makePlace(lowerPlace),
      type: 'squashfs',
      readOnly: true,
    });
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
  } finally {
    device.release();
  }
}
