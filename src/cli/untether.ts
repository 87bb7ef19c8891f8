/** `tetherfs untether` and `tetherfs retether`: the image into RAM, and out of it, under a running node. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { TetherfsError } from '../base/errors.ts';
import { readStatus, retether, untether } from '../mount/control-client.ts';
import { controlOf } from '../mount/control-path.ts';
import { parseRate } from './mount-options.ts';
import { progressBar } from './progress-bar.ts';

/** How often `--wait` asks, in ms. */
const askMs = 500;

interface Flags {
  control?: string;
  backgroundRate?: string;
  wait: boolean;
}

export function untetherCommand(): Command {
  return new Command('untether')
    .description('fill RAM behind the reads of a tethered mount; when all is there the members are not needed any more')
    .argument('<mountpoint>')
    .option('--background-rate <size>', 'bytes a second at most, e.g. 20MiB')
    .option('--wait', 'return when all of the image is in RAM', false)
    .option('--control <socket>', 'ask the daemon at this control socket')
    .addHelpText(
      'after',
      `
Read-only loop devices on the file (losetup -r, mount -o loop,ro) are moved to RAM then; "tetherfs status" shows them.

Examples:
  tetherfs untether --wait /mnt/remoteimg

Exit status: 0 begun (with --wait: done), 1 the image does not fit into RAM, or no daemon.`,
    )
    .action(async (mountpoint: string, flags: Flags) => {
      const control = controlOf(mountpoint, flags.control);
      const backgroundRate = parseRate(flags.backgroundRate);
      await untether(control, backgroundRate === undefined ? {} : { backgroundRate });
      if (flags.wait) await waitUntilUntethered(control);
    });
}

export function retetherCommand(): Command {
  return new Command('retether')
    .description('let the memory of an untethered or filling mount go: what is read comes from the members again')
    .argument('<mountpoint>')
    .option('--force', 'also when no member serves the image now: reads wait until one does', false)
    .option('--control <socket>', 'ask the daemon at this control socket')
    .addHelpText(
      'after',
      `
Loop devices that were moved to RAM are moved back to the mount first. A mount that was made with the image method
untethered cannot: its readers pass by the daemon. The members are asked first: when none serves the image, the memory stays.

Exit status: 0 the memory is free, 1 it is not.`,
    )
    .action(async (mountpoint: string, flags: { control?: string; force: boolean }) => {
      await retether(controlOf(mountpoint, flags.control), flags.force);
    });
}

async function waitUntilUntethered(control: string): Promise<void> {
  const bar = progressBar('filling RAM');
  try {
    for (;;) {
      const { memory } = await readStatus(control);
      if (memory.state === 'untethered') return;
      if (memory.state === 'tethered') {
        throw new TetherfsError('NOT_UNTETHERED', 'the mount is tethered again; the log of the daemon says why');
      }
      bar.update(memory);
      await sleep(askMs);
    }
  } finally {
    bar.clear();
  }
}
