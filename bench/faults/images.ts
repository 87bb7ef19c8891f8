/** The image of the faults' bench, and the wrong ones: made once, linked into each run's members. */

import { randomFillSync } from 'node:crypto';
import { closeSync, copyFileSync, openSync, readSync, statSync, utimesSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { makeBenchImage } from '../support/bench-image.ts';
import type { FaultImages } from './site.ts';

/** One byte in so many is flipped, on average. */
const flippedOneIn = 10_000;
const stepBytes = 4 << 20;

export async function makeFaultImages(directory: string, bytes: number): Promise<FaultImages> {
  const image = await makeBenchImage(directory, bytes);
  const [flipped, other] = [join(directory, 'flipped'), join(directory, 'other')];
  for (const file of [flipped, other]) copyFileSync(image.imageFile, file);
  rewrite(flipped, (part) => {
    for (let at = gap(); at < part.length; at += gap()) part[at] = (part[at] ?? 0) ^ 0xff;
  });
  rewrite(other, (part) => randomFillSync(part));
  // not the second of the image itself: its ETag is to tell
  const { atimeMs, mtimeMs } = statSync(image.imageFile);
  utimesSync(other, atimeMs / 1000, mtimeMs / 1000 + 60);
  return { image, flipped, other };
}

function gap(): number {
  return 1 + Math.floor(-Math.log(1 - Math.random()) * (flippedOneIn - 1));
}

function rewrite(path: string, change: (part: Buffer) => void): void {
  const file = openSync(path, 'r+');
  const buffer = Buffer.alloc(stepBytes);
  try {
    for (let at = 0; ; at += stepBytes) {
      const bytesRead = readSync(file, buffer, 0, stepBytes, at);
      if (bytesRead === 0) return;
      const part = buffer.subarray(0, bytesRead);
      change(part);
      writeSync(file, part, 0, bytesRead, at);
    }
  } finally {
    closeSync(file);
  }
}
