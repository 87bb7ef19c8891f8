/**
 * Unmounting from outside the daemon: the kernel is asked, and the daemon ends by itself when its mount is gone.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, TetherfsError } from '../base/errors.ts';
import { loadBinding } from '../native/binding.ts';
import { readDaemonPid } from './control-client.ts';
import { controlPathOf } from './control-path.ts';

interface Device {
  major: number;
  minor: number;
}

/** How long to wait for the daemon to end after its mount is gone. It only closes sockets then. */
const goodbyeMs = 5000;

/** @throws TetherfsError NOT_MOUNTED, MOUNT_IN_USE, NOT_ROOT, or DAEMON_SILENT when the daemon does not end. */
export async function unmount(path: string, mode: 'normal' | 'lazy'): Promise<void> {
  const mountpoint = resolve(path);
  if (!isTetherfs(mountpoint)) throw new TetherfsError('NOT_MOUNTED', `${path} is not a mount of tetherfs`);
  const pid = await daemonOf(mountpoint);
  try {
    await loadBinding().unmount(mountpoint, mode);
  } catch (cause) {
    if (errorCode(cause) === 'EBUSY') {
      throw new TetherfsError('MOUNT_IN_USE', `${path} is in use: end its users ("fuser -vm ${path}") or give --lazy`, {
        cause,
      });
    }
    if (errorCode(cause) === 'EPERM') throw new TetherfsError('NOT_ROOT', 'only root can unmount it', { cause });
    throw cause;
  }
  if (mode === 'lazy' || pid === undefined) return;
  const patience = performance.now() + goodbyeMs;
  while (isAlive(pid)) {
    if (performance.now() > patience) {
      throw new TetherfsError('DAEMON_SILENT', `${path} is unmounted, but its daemon (pid ${pid}) does not end`);
    }
    await sleep(10);
  }
}

/** Undefined when nobody answers at the mount's usual control socket: it is dead, or has another. */
async function daemonOf(mountpoint: string): Promise<number | undefined> {
  try {
    return await readDaemonPid(controlPathOf(mountpoint));
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

function isTetherfs(mountpoint: string): boolean {
  return mountsAt(mountpoint).some(({ type }) => type === 'fuse.tetherfs');
}

/** Takes a mount whose connection was aborted out of the way of the next one. Who has a file of it open keeps it, with errors. */
export async function detachDead(mountpoint: string, { major, minor }: Device): Promise<void> {
  // Somebody may have done so already, or mounted something over it.
  if (mountsAt(mountpoint).at(-1)?.device === `${major}:${minor}`) await loadBinding().unmount(mountpoint, 'lazy');
}

interface MountedThere {
  /** `MAJOR:MINOR` */
  device: string;
  type: string;
}

/** The topmost is last. From /proc/self/mountinfo, so that a mount that hangs is not touched. proc(5). */
function mountsAt(mountpoint: string): MountedThere[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, , device = '', , mountedOn = ''] = line.split(' ');
      const [, type = ''] = / - (\S+) /.exec(line) ?? [];
      return unescapeOctal(mountedOn) === mountpoint ? [{ device, type }] : [];
    });
}

function unescapeOctal(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
