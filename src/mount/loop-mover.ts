/** Has loop devices go on with another file: what the process does that moveLoopDevicesToMount starts. */
import { openSync } from 'node:fs';
import { describeError, errorCode } from '../base/errors.ts';
import { loadBinding } from '../native/binding.ts';
import { identityOfDescriptor } from './loop-devices.ts';
import { inMachineRoot } from './machine-root.ts';

/** @param meant `MAJOR:MINOR:INODE` of the file, which may be another by now. What fails is said on standard error, with exit status 1. */
export async function moveLoopDevices(path: string, meant: string, devices: readonly string[]): Promise<void> {
  try {
    const descriptor = openSync(inMachineRoot(path), 'r');
    const { major, minor, inode } = identityOfDescriptor(descriptor);
    if (`${major}:${minor}:${inode}` !== meant) throw new Error(`${path} is another file by now`);
    for (const device of devices) await move(device, descriptor);
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`);
    process.exitCode = 1;
  }
}

async function move(device: string, descriptor: number): Promise<void> {
  try {
    await loadBinding().loopChangeFile(device, descriptor);
  } catch (error) {
    // Detached meanwhile: there is nothing to move.
    if (errorCode(error) !== 'ENXIO') throw error;
  }
}
