/**
 * A recorded boot replayed over links of several round trips: tethered, with a trace, progressive, untethered
 *
 * The files that a real boot opened (bench/boot/files.txt), in its order, through squashfs on a loop device, from three members. Cold: daemon,
 * mount, loop device and squashfs are new each time, so nothing of the image is in any cache of the node. `--megabits N` sets each member's link (1000), `--rtt A,B,…` the round trips in ms (0.2,1,20,50), `--runs N`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readTrace } from '../src/mount/control-client.ts';
import { controlPathOf } from '../src/mount/control-path.ts';
import { renderTable } from '../src/mount/text-table.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { cachedPages, charged } from './boot/charged.ts';
import { bootImage } from './boot/image.ts';
import { replayBoot } from './boot/replay.ts';
import { startLinkedMembers } from './network/linked-members.ts';
import { median } from './support/figures.ts';
import { withFreshMount } from './support/fresh-mount.ts';
import type { MemoryCharges } from './support/memory-cgroup.ts';

const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    megabits: { type: 'string', default: '1000' },
    rtt: { type: 'string', default: '0.2,1,20,50' },
  },
});
const runs = Number(flags.runs);
const roundTrips = flags.rtt.split(',').map(Number);

/** One replay, in seconds, counts and MB. */
interface Boot {
  /** Until the mount is ready: an untethered one has pulled everything by then. */
  ready: number;
  /** The read part. */
  read: number;
  requests: number;
  /** MB on the wire, headers and acknowledgements included. */
  wire: number;
  /** MB of chunks that reads of the loop device reached the daemon for; complete only where it is tethered. */
  touched: number;
  /** After it, in MB. */
  memory: MemoryCharges;
  /** Pages of the FUSE file, in MB. */
  filePages: number;
}

const image = bootImage();
using directory = makeTempDir('bench');
const trace = join(directory.path, 'boot.trace');
const modes: Record<string, readonly string[]> = {
  tethered: ['--no-trace'],
  'with trace': ['--trace', trace],
  progressive: ['--image-method', 'progressive', '--no-trace'],
  'progressive, trace': ['--image-method', 'progressive', '--trace', trace],
  untethered: ['--image-method', 'untethered'],
};

const link = { megabits: Number(flags.megabits), rttMs: roundTrips[0] ?? 1 };
await using members = await startLinkedMembers(image, [link, link, link]);

async function boot(options: readonly string[]): Promise<Boot> {
  const all = ['--digest', image.digest, '--key-file', image.keyFile, ...options];
  return charged((charges) => bootOnce(all, charges));
}

/** Bytes on all links so far, both ways, headers and all. */
async function wireBytes(): Promise<number> {
  const wires = await Promise.all(members.links.map((link) => link.wire()));
  return wires.reduce((sum, { toMember, fromMember }) => sum + toMember.bytes + fromMember.bytes, 0);
}

async function bootOnce(options: readonly string[], charges: () => MemoryCharges): Promise<Boot> {
  const wireBefore = await wireBytes();
  return withFreshMount(members.urls, options, async ({ daemon, file, readyMs }) => {
    let memory = charges();
    let filePages = 0;
    const read = await replayBoot(file, {
      onRead() {
        memory = charges();
        filePages = cachedPages(file);
      },
    });
    const status = await daemon.status();
    if (options.includes('--no-trace')) writeFileSync(trace, await readTrace(controlPathOf(daemon.mountpoint)));
    const sum = (value: (member: (typeof status.members)[number]) => number) =>
      status.members.reduce((total, member) => total + value(member), 0);
    return {
      ready: readyMs / 1000,
      read,
      requests: sum(({ requests }) => requests),
      wire: ((await wireBytes()) - wireBefore) / 1e6,
      touched: (status.trace.chunks * status.cache.chunkSize) / 1e6,
      memory,
      // Passed through, the file's pages are the RAM file's.
      filePages: status.memory.passthrough ? 0 : filePages,
    };
  });
}

const found = new Map<string, Boot[]>();
for (let run = 0; run < runs; run++) {
  for (const rttMs of roundTrips) {
    for (const link of members.links) await link.change({ rttMs });
    for (const [mode, options] of Object.entries(modes)) {
      const key = `${rttMs} ${mode}`;
      found.set(key, [...(found.get(key) ?? []), await boot(options)]);
    }
  }
}
const local: number[] = [];
for (let run = 0; run < runs; run++) local.push(await replayBoot(image.plainFile));

console.log(
  `three members, ${flags.megabits} Mbit/s each, http, image of ${image.size} bytes; medians of ${runs} runs`,
);
console.log(`from a local file in the page cache: ${median(local).toFixed(2)} s`);
console.log(
  '(confluent urlmount, another image, 81 MB read by 923 requests: 1.2, 2.0, 19.8, 47.4 s at 0.2, 1, 20, 50 ms)',
);
const rows = roundTrips.flatMap((rttMs) => {
  const tethered = found.get(`${rttMs} tethered`) ?? [];
  const touched = median(tethered.map((one) => one.touched)).toFixed(1);
  return Object.keys(modes).map((mode) => {
    const boots = found.get(`${rttMs} ${mode}`) ?? [];
    const of = (value: (boot: Boot) => number, digits: number) => median(boots.map(value)).toFixed(digits);
    return [
      `${rttMs} ms`,
      mode,
      of(({ ready }) => ready, 2),
      of(({ read }) => read, 2),
      of(({ requests }) => requests, 0),
      of(({ wire }) => wire, 1),
      touched,
      of(({ memory }) => memory.shared, 0),
      of(({ memory }) => memory.pageCache, 0),
      of(({ memory }) => memory.anonymous, 0),
      of(({ filePages }) => filePages, 0),
      of(({ memory, filePages }) => memory.total + filePages, 0),
    ];
  });
});
const columns = ['rtt', 'mode', 'ready s', 'read s', 'requests', 'MB on the wire', 'MB touched'];
console.log(
  renderTable([...columns, 'RAM file, arena MB', 'squashfs pages MB', 'heap MB', 'FUSE pages MB', 'total MB'], rows),
);
