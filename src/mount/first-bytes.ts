/**
 * The proof that a mount works: its first bytes, read through the kernel as any reader would.
 *
 * By a process of its own: a daemon that is killed while it has a file of its own mount open cannot end, because the kernel waits for
 * its answer when it closes that file.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { TetherfsError } from '../base/errors.ts';

const reader = `
  const { openSync, readSync } = require('node:fs');
  try {
    if (readSync(openSync(process.argv[1]), Buffer.alloc(4096), 0, 4096, 0) === 0) throw new Error('the file is empty');
  } catch (error) {
    process.stdout.write(error.message);
    process.exitCode = 1;
  }`;

/** @throws TetherfsError FIRST_READ when they cannot be read. */
export async function readFirstBytes(mountpoint: string, fileName: string): Promise<void> {
  const path = join(mountpoint, fileName);
  const child = spawn(process.execPath, ['-e', reader, path], { stdio: ['ignore', 'pipe', 'ignore'] });
  const exit = new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
  const [why, status] = await Promise.all([text(child.stdout), exit]);
  if (status !== 0) throw new TetherfsError('FIRST_READ', `mounted, but ${path} cannot be read: ${why || 'killed'}`);
}
