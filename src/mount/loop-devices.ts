/**
 * The loop devices that stand on a file, and moving them to another: how a node that runs becomes independent of the daemon, and
 * dependent again. Known by device and inode number, because paths change their meaning at switch_root.
 */
import { fstatSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type LoopStatus, loadBinding } from '../native/binding.ts';
import { failureOfProcess } from './own-process.ts';

/** A file as the kernel knows it. */
export type FileIdentity = Pick<LoopStatus, 'major' | 'minor' | 'inode'>;

/** Inode number of the one file in a mount: NODE_FILE of native/fuse_session.c. */
const fileInode = 2;

export function identityOfMounted(device: { major: number; minor: number }): FileIdentity {
  return { ...device, inode: fileInode };
}

export function identityOfDescriptor(descriptor: number): FileIdentity {
  const { dev, ino } = fstatSync(descriptor, { bigint: true });
  // makedev(3) of glibc.
  const major = Number(((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n));
  const minor = Number((dev & 0xffn) | ((dev >> 12n) & 0xffffff00n));
  return { major, minor, inode: Number(ino) };
}

/** Paths of the loop devices on the file. */
export function loopDevicesOn(file: FileIdentity): string[] {
  return loopDevices().filter((device) => {
    const found = statusOf(device);
    return found?.major === file.major && found.minor === file.minor && found.inode === file.inode;
  });
}

/** Moves every read-only loop device on `from` to the open file `to`. @returns those that were moved. */
export async function moveLoopDevices(from: FileIdentity, to: number, log: Log): Promise<string[]> {
  const moved: string[] = [];
  for (const device of loopDevicesOn(from)) {
    if (statusOf(device)?.readOnly !== true) {
      log.warn('a loop device stays on the mount because it is not read-only; attach it with losetup -r', { device });
      continue;
    }
    try {
      await loadBinding().loopChangeFile(device, to);
      moved.push(device);
    } catch (error) {
      log.warn('a loop device stays on the mount', { device, error: describeError(error) });
    }
  }
  return moved;
}

/**
 * Moves every loop device on `from` to the file at `path`, which is in our own mount: by a process of its own, see own-process.ts.
 * @throws Error when one cannot be moved.
 */
export async function moveLoopDevicesToMount(from: FileIdentity, path: string): Promise<string[]> {
  const devices = loopDevicesOn(from);
  if (devices.length === 0) return devices;
  const script = fileURLToPath(new URL('./loop-mover.ts', import.meta.url));
  const why = await failureOfProcess([script, path, ...devices]);
  if (why !== undefined) throw new Error(`${devices.join(', ')} cannot be moved to ${path}: ${why}`);
  return devices;
}

function loopDevices(): string[] {
  try {
    return readdirSync('/sys/block')
      .filter((name) => /^loop\d+$/.test(name))
      .map((name) => `/dev/${name}`);
  } catch {
    return [];
  }
}

/** Undefined also for a device that has no node in /dev. */
function statusOf(device: string): LoopStatus | undefined {
  try {
    return loadBinding().loopStatus(device);
  } catch {
    return undefined;
  }
}
