/**
 * The loop devices that stand on a file, and moving them to another: how a node that runs becomes independent of the daemon, and
 * dependent again. Known by device and inode number, because paths change their meaning at switch_root.
 */
import { fstatSync, readdirSync, readFileSync } from 'node:fs';
import { describeError, errorCode } from '../base/errors.ts';
import { mainScript } from '../base/installation.ts';
import type { Log } from '../base/log.ts';
import { type LoopStatus, loadBinding } from '../native/binding.ts';
import { failureOfProcess } from './own-process.ts';

/** A file as the kernel knows it. */
export interface FileIdentity extends Pick<LoopStatus, 'major' | 'minor' | 'inode'> {
  /** The last part of its path. */
  name: string;
}

/** Inode number of the one file in a mount: NODE_FILE of native/fuse_session.c. */
const fileInode = 2;

export function identityOfMounted({ major, minor }: { major: number; minor: number }, name: string): FileIdentity {
  return { major, minor, inode: fileInode, name };
}

/** Of the RAM file. */
export function identityOfDescriptor(descriptor: number): FileIdentity {
  const { dev, ino } = fstatSync(descriptor, { bigint: true });
  // makedev(3) of glibc.
  const major = Number(((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n));
  const minor = Number((dev & 0xffn) | ((dev >> 12n) & 0xffffff00n));
  return { major, minor, inode: Number(ino), name: 'memfd:tetherfs-image' };
}

/** Paths of the loop devices on the file, but for those that are locked at this moment. */
export async function loopDevicesOn(file: FileIdentity): Promise<string[]> {
  return (await statuses(file)).filter(({ status }) => isOn(status, file)).map(({ device }) => device);
}

function isOn(found: LoopStatus | 'locked' | undefined, file: FileIdentity): boolean {
  if (found === undefined || found === 'locked') return false;
  return found.major === file.major && found.minor === file.minor && found.inode === file.inode;
}

/** Says once of each loop device why it stays where it is. */
export class UnmovableLoops {
  readonly #log: Log;
  readonly #said = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  stays(device: string, why: string): void {
    if (this.#said.has(device)) return;
    this.#said.add(device);
    this.#log.warn('a loop device stays on the mount', { device, why });
  }
}

/** Moves every read-only loop device on `from` to the open file `to`. @returns those that were moved. */
export async function moveLoopDevices(from: FileIdentity, to: number, unmovable: UnmovableLoops): Promise<string[]> {
  const moved: string[] = [];
  for (const device of loopDevices(from)) {
    const found = await statusOf(device);
    if (found === undefined || found === 'locked' || !isOn(found, from)) continue;
    if (!found.readOnly) {
      unmovable.stays(device, 'it is not read-only: attach it with losetup -r');
      continue;
    }
    try {
      await loadBinding().loopChangeFile(device, to);
      moved.push(device);
    } catch (error) {
      unmovable.stays(device, describeError(error));
    }
  }
  return moved;
}

/**
 * Moves every loop device on `from` to the file `mounted` at `path`, which is in our own mount: by a process of its own, see own-process.ts.
 * @throws Error when one cannot be moved, or is locked so that it cannot be told whether it must be.
 */
export async function moveLoopDevicesToMount(
  from: FileIdentity,
  path: string,
  mounted: FileIdentity,
): Promise<string[]> {
  const found = await statuses(from);
  const locked = found.filter(({ status }) => status === 'locked').map(({ device }) => device);
  if (locked.length > 0) throw new Error(`${locked.join(', ')} is locked by somebody; try again`);
  const devices = found.filter(({ status }) => isOn(status, from)).map(({ device }) => device);
  if (devices.length === 0) return devices;
  const { major, minor, inode } = mounted;
  const why = await failureOfProcess([mainScript, 'loop-mover', path, `${major}:${minor}:${inode}`, ...devices]);
  if (why !== undefined) throw new Error(`${devices.join(', ')} cannot be moved to ${path}: ${why}`);
  return devices;
}

/** Paths of the loop devices on files in a mount, by what the kernel calls those files. */
export function loopDevicesBelow(mountpoint: string): string[] {
  return allLoopDevices((file) => file.startsWith(`${mountpoint}/`));
}

/**
 * Those that may stand on the file. The others are not asked: one on a dead server answers never. Their paths may be those of another root: the
 * name is the same in all.
 */
function loopDevices({ name }: FileIdentity): string[] {
  return allLoopDevices((file) => file.includes(name));
}

function allLoopDevices(matches: (backingFile: string) => boolean): string[] {
  try {
    return readdirSync('/sys/block')
      .filter((device) => /^loop\d+$/.test(device) && matches(backingFile(device) ?? ''))
      .map((device) => `/dev/${device}`);
  } catch {
    return [];
  }
}

function backingFile(device: string): string | undefined {
  try {
    return readFileSync(`/sys/block/${device}/loop/backing_file`, 'utf8');
  } catch {
    return undefined;
  }
}

/** Of all that may stand on the file, asked at once: a locked one keeps the others not waiting. */
function statuses(file: FileIdentity): Promise<{ device: string; status: LoopStatus | 'locked' | undefined }[]> {
  return Promise.all(loopDevices(file).map(async (device) => ({ device, status: await statusOf(device) })));
}

/** Undefined also for a device that has no node in /dev. */
async function statusOf(device: string): Promise<LoopStatus | 'locked' | undefined> {
  try {
    return await loadBinding().loopStatus(device);
  } catch (error) {
    return errorCode(error) === 'ETIMEDOUT' ? 'locked' : undefined;
  }
}
