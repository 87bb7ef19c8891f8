/**
 * What the kernel keeps of a mount beside the mount itself. No setting is vital: what cannot be set is logged and left.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describeError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';

/**
 * KiB the kernel reads ahead on a mount whose image is in RAM: in the largest requests that the protocol has. Tethered it stays at the kernel's
 * own 128: what the kernel guesses looks like what readers want, is fetched before anything else, and goes into the trace; we guess better, and
 * yield to readers (docs/boot-modes.md).
 */
const readAheadKiB = 1024;

function bdiFile(device: { major: number; minor: number }): string {
  return `/sys/class/bdi/${device.major}:${device.minor}/read_ahead_kb`;
}

export function raiseReadAhead(device: { major: number; minor: number }, log: Log): void {
  try {
    writeFileSync(bdiFile(device), `${readAheadKiB}\n`);
  } catch (error) {
    log.warn('cannot raise the kernel read-ahead of the mount; sequential reads are smaller', {
      error: describeError(error),
    });
  }
}

export function currentReadAheadKiB(device: { major: number; minor: number }): number | undefined {
  try {
    return Number.parseInt(readFileSync(bdiFile(device), 'utf8'), 10);
  } catch {
    return undefined;
  }
}

/** A machine's root stands on the daemon: when memory runs out, everything else goes first. proc(5), oom_score_adj. */
export function protectFromOomKiller(log: Log): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-1000\n');
  } catch (error) {
    log.info('cannot protect the daemon from the OOM killer', { error: describeError(error) });
  }
}

/** Documentation/filesystems/fuse.rst. */
function connectionDirectory(minor: number): string {
  return `/sys/fs/fuse/connections/${minor}`;
}

/** Whether the FUSE connection of the mount on `device` (`MAJOR:MINOR`) lives: as long as that is mounted or in use anywhere. */
export function hasConnection(device: string): boolean {
  return existsSync(connectionDirectory(Number(device.split(':')[1])));
}

/**
 * Tells the FUSE connection of the mount on `device` from every later one: the number of a device that is gone is given to the next mount of
 * anybody's, in any namespace. Undefined when there is none.
 */
export function connectionIdentity(device: string): number | undefined {
  return statSync(connectionDirectory(Number(device.split(':')[1])), { throwIfNoEntry: false })?.ino;
}

/** Aborts a FUSE connection: every read that waits gets ECONNABORTED. */
export function abortConnection(device: { minor: number }): void {
  writeFileSync(`${connectionDirectory(device.minor)}/abort`, '1\n');
}
