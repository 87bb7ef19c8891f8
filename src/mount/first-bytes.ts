/** The proof that a mount works: its first bytes, read through the kernel as any reader would. */
import { join } from 'node:path';
import { describeError, TetherfsError } from '../base/errors.ts';
import { failureOfProcess } from './own-process.ts';

const reader = `
  const { openSync, readSync } = require('node:fs');
  try {
    if (readSync(openSync(process.argv[1]), Buffer.alloc(4096), 0, 4096, 0) === 0) throw new Error('the file is empty');
  } catch (error) {
    process.stderr.write(error.message);
    process.exitCode = 1;
  }`;

/** @throws TetherfsError FIRST_READ when they cannot be read. */
export async function readFirstBytes(mountpoint: string, fileName: string): Promise<void> {
  const path = join(mountpoint, fileName);
  const why = await failureOfProcess(['-e', reader, path]);
  if (why !== undefined)
    throw new TetherfsError('FIRST_READ', `mounted, but ${path} cannot be read: ${describeError(new Error(why))}`);
}
