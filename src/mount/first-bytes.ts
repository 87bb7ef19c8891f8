/** The proof that a mount works: its first bytes, read through the kernel as any reader would. */
import { join } from 'node:path';
import { describeError, TetherfsError } from '../base/errors.ts';
import { systemTime } from '../base/time-source.ts';
import { interrupted } from './background.ts';
import { readStatus } from './control-client.ts';
import type { MountOptions } from './options.ts';
import { failureOfProcess } from './own-process.ts';
import { describeMembers } from './status.ts';

const reader = `
  const { openSync, readSync } = require('node:fs');
  try {
    if (readSync(openSync(process.argv[1]), Buffer.alloc(4096), 0, 4096, 0) === 0) throw new Error('the file is empty');
  } catch (error) {
    process.stderr.write(error.message);
    process.exitCode = 1;
  }`;

/** However late the mount was there, the read has so long, in ms. */
const leastMs = 2_000;
/** After this, in ms, it is said what is waited for. */
const sayAfterMs = 5_000;

export interface FirstBytes {
  options: Pick<MountOptions, 'mountpoint' | 'control' | 'mountTimeout'>;
  fileName: string;
  /** Of the command, as performance.now() has it: `--mount-timeout` counts from here. */
  startedAt: number;
  /** Ends it: whoever wanted the mount wants it no more. */
  signal: AbortSignal;
  /** Told once what is waited for. */
  onWaiting: (line: string) => void;
}

/** @throws TetherfsError FIRST_READ when they cannot be read, or not in time; INTERRUPTED. */
export async function readFirstBytes({ options, fileName, startedAt, signal, onWaiting }: FirstBytes): Promise<void> {
  const { mountpoint, control, mountTimeout } = options;
  const path = join(mountpoint, fileName);
  const limit = new AbortController();
  const { after } = systemTime;
  const left = mountTimeout * 1000 - (performance.now() - startedAt);
  const cancelLimit = mountTimeout === 0 ? () => {} : after(Math.max(leastMs, left), () => limit.abort());
  const cancelSaying = after(sayAfterMs, async () =>
    onWaiting(`mounted, waiting for the first bytes: ${await reasons(control)}`),
  );
  try {
    const why = await failureOfProcess(['-e', reader, path], AbortSignal.any([signal, limit.signal]));
    if (signal.aborted) throw interrupted();
    if (limit.signal.aborted)
      throw new TetherfsError(
        'FIRST_READ',
        `mounted, but ${path} could not be read in time: ${await reasons(control)}`,
      );
    if (why !== undefined)
      throw new TetherfsError('FIRST_READ', `mounted, but ${path} cannot be read: ${describeError(new Error(why))}`);
  } finally {
    cancelLimit();
    cancelSaying();
  }
}

/** What the daemon says of its members. */
async function reasons(control: string): Promise<string> {
  try {
    return describeMembers((await readStatus(control)).members);
  } catch (error) {
    return describeError(error);
  }
}
