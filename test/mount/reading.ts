/** Reads through a mount, and what a reader finds. */
import { constants, type PathLike } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Daemon } from '../support/daemon.ts';
import { waitUntil } from '../support/wait-until.ts';
import { pseudoRandomIntegers } from './pseudo-random.ts';

export function fileIn(daemon: Daemon): string {
  return join(daemon.mountpoint, 'rootimg.sfs');
}

/** `direct` goes past the page cache, so that every read reaches the daemon. */
export async function openImage(path: PathLike, direct: boolean): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | (direct ? constants.O_DIRECT : 0));
}

export async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

export interface RandomReads {
  count: number;
  /** Greatest length in bytes. */
  longest: number;
  seed: number;
  direct?: boolean;
  /** Readers at once. */
  readers?: number;
}

/**
 * Reads random ranges, also across and beyond the end, and expects what `truth` has there.
 * @returns the longest wait of a read in ms. A test that fails before it awaits this has its one failure, not this one's too.
 */
export function expectRandomReads(path: string, truth: Buffer, reads: RandomReads): Promise<number> {
  const longestWait = readRandomly(path, truth, reads);
  longestWait.catch(() => {});
  return longestWait;
}

async function readRandomly(path: string, truth: Buffer, reads: RandomReads): Promise<number> {
  const { count, longest, seed, direct = true, readers = 1 } = reads;
  let longestWait = 0;
  let left = count;
  async function reader(random: (below: number) => number): Promise<void> {
    await using file = await openImage(path, direct);
    while (left-- > 0) {
      const offset = random(truth.length + 8192);
      const length = 1 + random(longest);
      const started = performance.now();
      const found = await readAt(file, offset, length);
      longestWait = Math.max(longestWait, performance.now() - started);
      if (!found.equals(truth.subarray(offset, offset + length))) {
        expect.unreachable(`${length} bytes at ${offset} are wrong (got ${found.length})`);
      }
    }
  }
  await Promise.all(Array.from({ length: readers }, (_, index) => reader(pseudoRandomIntegers(seed + index))));
  return longestWait;
}

/** Reads the whole file in order, 1 MiB at a time, and expects `truth`. `onOffset` is told how far it has come. */
export async function expectWhole(
  path: string,
  truth: Buffer,
  onOffset: (offset: number) => unknown = () => {},
): Promise<void> {
  await using file = await openImage(path, false);
  const step = 1 << 20;
  for (let offset = 0; offset < truth.length; offset += step) {
    await onOffset(offset);
    const found = await readAt(file, offset, step);
    if (!found.equals(truth.subarray(offset, offset + step))) expect.unreachable(`the MiB at ${offset} is wrong`);
  }
  expect((await file.stat()).size).toBe(truth.length);
}

/** When nothing is under way every slot of the arena is free or holds a chunk: none has been lost. */
export async function expectNoSlotLost(daemon: Daemon): Promise<void> {
  await waitUntil('every slot is free or holds a chunk', async () => {
    const { cache } = await daemon.status();
    return cache.chunksInFlight === 0 && cache.slotsFree + cache.chunksPresent === cache.slotsTotal;
  });
}
