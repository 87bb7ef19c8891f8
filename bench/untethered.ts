/**
 * An untethered mount over three links of 100 Mbit/s: pulled at what share of the links, and with a member lost half way
 *
 * What the three links give to three curls at once is measured in the same run. Claim: at least 0.95 of that. With a member killed at half the
 * image the rest comes over two links, and every byte is right (the RAM file is audited, and compared with the image here).
 */
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Daemon } from '../test/support/daemon.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { waitUntil } from '../test/support/wait-until.ts';
import { startLinkedMembers, threeLinks } from './network/linked-members.ts';
import { makeBenchImage } from './support/bench-image.ts';
import { type Measured, printFigures } from './support/figures.ts';
import { benchOptions } from './support/options.ts';
import { curlWhole } from './support/timed-command.ts';

// Three faster links keep both cores busy with their emulation alone.
const { runs, imageBytes, megabits } = benchOptions({ runs: 3, imageMiB: 512, megabits: 100 });
using directory = makeTempDir('bench');
const image = await makeBenchImage(directory.path, imageBytes);
await using members = await startLinkedMembers(image, threeLinks({ megabits, rttMs: 1 }));
const { servers, urls } = members;
const right = await hash(image.imageFile);
let mounts = 0;

async function hash(file: string): Promise<string> {
  const sum = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), sum);
  return sum.digest('hex');
}

const rate = (bytes: number, seconds: number) => (bytes * 8) / 1e6 / seconds;

/** Mbit/s of the pull, from the first byte in RAM to the last, by the daemon's own status. @param onHalf strikes at half the image. */
async function pull(onHalf: () => unknown = () => {}): Promise<number> {
  const mountpoint = join(directory.path, `mnt-${mounts++}`);
  mkdirSync(mountpoint);
  const options = ['--digest', image.digest, '--image-method', 'untethered', '--log-level', 'info'];
  await using daemon = Daemon.launch({ urls, mountpoint, options });
  const bytes = async () => (await daemon.status().catch(() => undefined))?.memory.bytes ?? 0;
  const first = await waitUntil('it pulls', async () => (await bytes()) || undefined, { timeoutMs: 60_000 });
  const started = performance.now();
  await waitUntil('half is there', async () => (await bytes()) >= image.size / 2, { timeoutMs: 600_000 });
  await onHalf();
  await waitUntil('all is there', async () => (await bytes()) >= image.size, { timeoutMs: 600_000, intervalMs: 10 });
  const seconds = (performance.now() - started) / 1000;
  await daemon.ready(60_000);
  if ((await hash(join(mountpoint, 'rootimg.sfs'))) !== right) throw new Error('the image in RAM is not the image');
  return rate(image.size - first, seconds);
}

const curls: Measured = { name: 'three curls', unit: 'Mbit/s', values: [] };
const all: Measured = { name: 'untethered', unit: 'Mbit/s', values: [] };
const lost: Measured = { name: 'one lost half way', unit: 'Mbit/s', values: [] };
for (let run = 0; run < runs; run++) {
  const each = await Promise.all(urls.map((url) => curlWhole(url)));
  curls.values.push(each.map((seconds) => rate(image.size, seconds)).reduce((sum, value) => sum + value));
  all.values.push(await pull());
  lost.values.push(await pull(() => servers[1]?.kill()));
  await servers[1]?.restart();
}
console.log(
  `three links of ${megabits} Mbit/s, 1 ms, http, image of ${image.size} bytes, ${runs} runs; every image was right`,
);
printFigures([curls, all, lost], curls.name);
