/**
 * loop-mover FILE MAJOR:MINOR:INODE DEVICE...: has the loop devices go on with another file, if it is still the one that is meant. The process that
 * moveLoopDevicesToMount starts.
 */
import { openSync } from 'node:fs';
import { describeError, errorCode } from '../base/errors.ts';
import { loadBinding } from '../native/binding.ts';
import { identityOfDescriptor } from './loop-devices.ts';

const [path = '', meant = '', ...devices] = process.argv.slice(2);
try {
  const descriptor = openSync(path, 'r');
  const { major, minor, inode } = identityOfDescriptor(descriptor);
  if (`${major}:${minor}:${inode}` !== meant) throw new Error(`${path} is another file by now`);
  for (const device of devices) await move(device, descriptor);
} catch (error) {
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = 1;
}

async function move(device: string, descriptor: number): Promise<void> {
  try {
    await loadBinding().loopChangeFile(device, descriptor);
  } catch (error) {
    // Detached meanwhile: there is nothing to move.
    if (errorCode(error) !== 'ENXIO') throw error;
  }
}
