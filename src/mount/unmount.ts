/**
 * Unmounting: the kernel is asked, and the daemon ends by itself when its mount is gone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, TetherfsError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { isDead } from '../base/mounts.ts';
import { detach } from '../libfuse/index.ts';
import { readDaemonPid } from './control-client.ts';
import { forgetDead, tracesOf } from './control-path.ts';
import { hasConnection } from './kernel-tuning.ts';
import { loopDevicesBelow } from './loop-devices.ts';
import { inMachineRoot } from './machine-root.ts';
import { insistOnTetherfs, mountsFrom, tetherfsMounts, uncoveredPlaces } from './mount-table.ts';

/** How long to wait for the daemon to end after its mount is gone. It only closes sockets then. */
const goodbyeMs = 5000;

/** @throws TetherfsError NOT_MOUNTED, MOUNT_IN_USE, NOT_ROOT, or DAEMON_SILENT when the daemon does not end. */
export async function unmount(path: string, mode: 'normal' | 'lazy'): Promise<void> {
  const mount = insistOnTetherfs(path);
  const { mountpoint, device } = mount;
  const traces = tracesOf(mount);
  const pid = await daemonOf(traces.control);
  try {
    await detach(mountpoint, mode);
  } catch (cause) {
    if (errorCode(cause) === 'EBUSY') {
      throw new TetherfsError('MOUNT_IN_USE', `${path} is in use${usersOf(mountpoint)}`, { cause });
    }
    if (errorCode(cause) === 'EPERM')
      throw new TetherfsError('NOT_ROOT', 'only root, or whoever mounted it by libfuse, can unmount it', { cause });
    throw cause;
  }
  // Where else it is mounted, it lives on.
  if (mode === 'lazy' || tetherfsMounts(device).length > 0) return;
  if (pid === undefined) {
    forgetDead(traces);
    return;
  }
  const patience = performance.now() + goodbyeMs;
  while (isAlive(pid)) {
    if (performance.now() > patience) {
      const why = hasConnection(device)
        ? 'the mount lives on in another mount namespace, or a loop device or a file of it is still in use'
        : 'it does not end';
      throw new TetherfsError(
        'DAEMON_SILENT',
        `${path} is unmounted here, but its daemon (pid ${pid}) goes on: ${why}`,
      );
    }
    await sleep(10);
  }
}

/**
 * From inside the daemon, all places where it is mounted: at once where nobody uses it, otherwise lazily, so that it ends with its last user.
 * @throws TetherfsError MOUNT_UNREACHABLE when another mount covers a place; Error of the system call.
 */
export async function unmountEverywhere(device: string, log: Log): Promise<void> {
  for (const mountpoint of uncoveredPlaces(device)) {
    try {
      await detach(inMachineRoot(mountpoint), 'normal');
    } catch (error) {
      // Somebody was quicker.
      if (errorCode(error) === 'EINVAL' || errorCode(error) === 'ENOENT') continue;
      log.warn('the mount is in use: it is detached now and ends with its last user', { mountpoint });
      await detach(inMachineRoot(mountpoint), 'lazy');
    }
  }
  const covered = tetherfsMounts(device).map(({ mountpoint }) => mountpoint);
  if (covered.length > 0) {
    const what = `another mount covers ${covered.join(', ')}: unmount that one, and then this`;
    throw new TetherfsError('MOUNT_UNREACHABLE', what);
  }
}

/**
 * Takes a mount whose connection was aborted out of the way of the next one. Who has a file of it open keeps it, with errors. The number of a device
 * that is gone is given to the next mount of anybody's: what lives stays.
 */
export async function detachDead(device: string): Promise<void> {
  for (const mountpoint of uncoveredPlaces(device)) {
    const place = inMachineRoot(mountpoint);
    if (await isDead(place)) await detach(place, 'lazy');
  }
}

/** What stands on the mount, and what to do about it. Touches neither. */
function usersOf(mountpoint: string): string {
  const loops = loopDevicesBelow(mountpoint);
  if (loops.length === 0) return `: end its users ("fuser -vm ${mountpoint}") or give --lazy`;
  const mounted = mountsFrom(loops).map((place) => `"umount ${place}"`);
  const first = mounted.length > 0 ? mounted : loops.map((device) => `"losetup -d ${device}"`);
  return ` by ${loops.join(', ')}: ${first.join(' and ')} first, or give --lazy`;
}

/** Undefined when nobody answers: it is dead, or stuck. */
async function daemonOf(control: string): Promise<number | undefined> {
  try {
    return await readDaemonPid(control);
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}
