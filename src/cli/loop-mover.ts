/** `tetherfs loop-mover`: what the daemon starts when loop devices are to read from RAM, or from the mount again. Not for people. */
import { Command } from 'commander';
import { moveLoopDevices } from '../mount/loop-mover.ts';

export function loopMoverCommand(): Command {
  return new Command('loop-mover')
    .argument('<file>')
    .argument('<identity>')
    .argument('<device...>')
    .action(moveLoopDevices);
}
