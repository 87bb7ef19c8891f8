/**
 * The proof that a mount works: its first bytes, read through the kernel as any reader would.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError, TetherfsError } from '../base/errors.ts';

/** @throws TetherfsError FIRST_READ when they cannot be read. */
export async function readFirstBytes(mountpoint: string, fileName: string): Promise<void> {
  const path = join(mountpoint, fileName);
  try {
    await using file = await open(path);
    const { bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    if (bytesRead === 0) throw new Error('the file is empty');
  } catch (cause) {
    throw new TetherfsError('FIRST_READ', `mounted, but ${path} cannot be read: ${describeError(cause)}`, { cause });
  }
}
