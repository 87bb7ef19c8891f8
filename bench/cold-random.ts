/**
 * Cold random 4 KiB reads, one at a time, beside round trip and wire time of a 64 KiB block
 *
 * Each read is of a chunk that nobody has read before, past the page cache, over links of 300 Mbit/s. Claim: the median is at most a
 * round trip, the time of 64 KiB on the wire, and 0.3 ms.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { connect } from 'node:net';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { startLinkedMembers, threeLinks } from './network/linked-members.ts';
import { makeBenchImage } from './support/bench-image.ts';
import { median, printFigures, quantile } from './support/figures.ts';
import { withFreshMount } from './support/fresh-mount.ts';
import { benchOptions } from './support/options.ts';

const linkMegabits = 300;
const linkRttMs = 0.2;
const chunkBytes = 64 * 1024;
const readBytes = 4096;
const readsPerRun = 300;
const allowanceMs = 0.3;

const { runs, imageBytes } = benchOptions({ runs: 3, imageMiB: 192 });
using directory = makeTempDir('bench');
const image = await makeBenchImage(directory.path, imageBytes);
await using members = await startLinkedMembers(image, threeLinks({ megabits: linkMegabits, rttMs: linkRttMs }));

/** ms from SYN to SYN-ACK, as a program sees it. */
function roundTrip(host: string): Promise<number> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const socket = connect(80, host, () => {
      resolve(performance.now() - started);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

/** Chunk numbers in random order, without the image's first MiB, which the mount has read. */
function shuffledChunks(count: number): number[] {
  const chunks = Array.from({ length: count - 16 }, (_, i) => i + 16);
  for (let i = chunks.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [chunks[i], chunks[j]] = [chunks[j] ?? 0, chunks[i] ?? 0];
  }
  return chunks;
}

/** ms of each read. Synchronous: nothing of the daemon runs in this process. */
function readRandomly(path: string): number[] {
  const buffer = Buffer.alloc(readBytes);
  const file = openSync(path, constants.O_RDONLY | constants.O_DIRECT);
  try {
    return shuffledChunks(Math.floor(image.size / chunkBytes))
      .slice(0, readsPerRun)
      .map((chunk) => {
        const started = performance.now();
        readSync(file, buffer, 0, readBytes, chunk * chunkBytes);
        return performance.now() - started;
      });
  } finally {
    closeSync(file);
  }
}

const wireMs = ((chunkBytes * 8) / (linkMegabits * 1e6)) * 1000;
const allowed: number[] = [];
const medians: number[] = [];
const slowest: number[] = [];
for (let run = 0; run < runs; run++) {
  const trips: number[] = [];
  for (let i = 0; i < 20; i++) trips.push(await roundTrip(members.links[0]?.address ?? ''));
  allowed.push(median(trips) + wireMs + allowanceMs);
  const times = await withFreshMount(members.urls, ['--digest', image.digest], ({ file }) => readRandomly(file));
  medians.push(median(times));
  slowest.push(quantile(times, 0.99));
}
console.log(`${readsPerRun} reads of ${readBytes} bytes a run, links of ${linkMegabits} Mbit/s, http, ${runs} runs`);
printFigures(
  [
    { name: 'allowed', unit: 'ms', digits: 2, values: allowed },
    { name: 'median read', unit: 'ms', digits: 2, values: medians },
    { name: 'p99 read', unit: 'ms', digits: 2, values: slowest },
  ],
  'allowed',
);
