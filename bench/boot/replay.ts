/** One boot, replayed: the squashfs of a file on a loop device, mounted cold, its files read in boot order by a process of its own. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeTempDir } from '../../test/support/temp-dir.ts';
import { bootList } from './image.ts';

const reader = fileURLToPath(new URL('./reader.ts', import.meta.url));

export interface BootOptions {
  /** The loop device reads past the page cache of the file below it (losetup --direct-io). */
  directIo?: boolean;
  /** Called when all is read and everything is still mounted. */
  onRead?: () => Promise<void> | void;
}

/** @returns seconds of the read part, mounting included. */
export async function replayBoot(image: string, { directIo = false, onRead }: BootOptions = {}): Promise<number> {
  using directory = makeTempDir('boot');
  const root = join(directory.path, 'root');
  mkdirSync(root);
  const started = performance.now();
  const words = ['--find', '--show', '--read-only', `--direct-io=${directIo ? 'on' : 'off'}`, image];
  const loop = execFileSync('losetup', words, { encoding: 'utf8' }).trim();
  try {
    execFileSync('mount', ['-t', 'squashfs', '-o', 'ro', loop, root]);
  } finally {
    // Whoever has it open keeps it: it ends with the mount, however that ends.
    execFileSync('losetup', ['--detach', loop]);
  }
  try {
    await readFiles(root);
    const seconds = (performance.now() - started) / 1000;
    await onRead?.();
    return seconds;
  } finally {
    execFileSync('umount', [root]);
  }
}

async function readFiles(root: string): Promise<void> {
  await promisify(execFile)(process.execPath, [reader, root, bootList]);
}
