/** loop-mover FILE DEVICE...: has the loop devices go on with another file. The process that moveLoopDevicesToMount starts. */
import { openSync } from 'node:fs';
import { describeError } from '../base/errors.ts';
import { loadBinding } from '../native/binding.ts';

const [path = '', ...devices] = process.argv.slice(2);
try {
  const descriptor = openSync(path, 'r');
  for (const device of devices) await loadBinding().loopChangeFile(device, descriptor);
} catch (error) {
  process.stderr.write(`${describeError(error)}\n`);
  process.exitCode = 1;
}
