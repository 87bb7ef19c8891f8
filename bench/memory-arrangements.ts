/**
 * Where the bytes of a tethered boot lie in memory: loop device buffered or direct, arena small or large, page cache or none
 *
 * The same bytes can sit in the arena, in the FUSE file's page cache, and decompressed in squashfs' page cache. Each arrangement replays the
 * recorded boot over three links (`--megabits N`, 1000; `--rtt MS`, 1) and shows time and memory after it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { renderTable } from '../src/base/text-table.ts';
import { cachedPages, charged } from './boot/charged.ts';
import { bootImage } from './boot/image.ts';
import { replayBoot } from './boot/replay.ts';
import { startLinkedMembers, threeLinks } from './network/linked-members.ts';
import { median } from './support/figures.ts';
import { withFreshMount } from './support/fresh-mount.ts';
import type { MemoryCharges } from './support/memory-cgroup.ts';

const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    megabits: { type: 'string', default: '1000' },
    rtt: { type: 'string', default: '1' },
  },
});
const runs = Number(flags.runs);

interface Arrangement {
  loop: 'buffered' | 'direct';
  cacheSize: string;
  pageCache: 'keep' | 'drop' | 'none';
}

/** The first is upstream's: a buffered loop device on a FUSE file that the page cache keeps. The second is the default. */
const arrangements: readonly Arrangement[] = [
  { loop: 'buffered', cacheSize: '256MiB', pageCache: 'keep' },
  { loop: 'buffered', cacheSize: '256MiB', pageCache: 'drop' },
  { loop: 'buffered', cacheSize: '32MiB', pageCache: 'drop' },
  { loop: 'buffered', cacheSize: '256MiB', pageCache: 'none' },
  { loop: 'buffered', cacheSize: '32MiB', pageCache: 'none' },
  { loop: 'direct', cacheSize: '256MiB', pageCache: 'drop' },
  { loop: 'direct', cacheSize: '32MiB', pageCache: 'drop' },
];
/** Upstream lets nothing go. */
const kept = ['--idle-cache-size', '256MiB'];

interface Outcome {
  seconds: number;
  /** MB. */
  received: number;
  /** When the last file has been read, and when the readers have rested. */
  after: Memory;
  later: Memory;
}

/** MB. */
interface Memory extends MemoryCharges {
  /** Pages of the FUSE file. */
  filePages: number;
}

const image = bootImage();
await using members = await startLinkedMembers(
  image,
  threeLinks({ megabits: Number(flags.megabits), rttMs: Number(flags.rtt) }),
);

async function measure({ loop, cacheSize, pageCache }: Arrangement): Promise<Outcome> {
  const options = ['--cache-size', cacheSize, '--page-cache', pageCache, ...(pageCache === 'keep' ? kept : [])];
  const all = ['--digest', image.digest, '--key-file', image.keyFile, '--no-trace', ...options];
  return charged((charges) =>
    withFreshMount(members.urls, all, async ({ daemon, file }) => {
      const measured: Memory[] = [];
      const now = () => ({ ...charges(), filePages: cachedPages(file) });
      const seconds = await replayBoot(file, {
        directIo: loop === 'direct',
        async onRead() {
          measured.push(now());
          // The readers rest: what is let go goes within 20 s.
          await sleep(22_000);
          measured.push(now());
        },
      });
      const status = await daemon.status();
      const [after = now(), later = now()] = measured;
      return { seconds, received: status.members.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6, after, later };
    }),
  );
}

const outcomes = arrangements.map((): Outcome[] => []);
for (let run = 0; run < runs; run++) {
  for (const [index, arrangement] of arrangements.entries()) outcomes[index]?.push(await measure(arrangement));
}

console.log(`three members, ${flags.megabits} Mbit/s, ${flags.rtt} ms; medians of ${runs} runs; MB`);
const rows = arrangements.map(({ loop, cacheSize, pageCache }, index) => {
  const of = (value: (outcome: Outcome) => number, digits = 0) =>
    median((outcomes[index] ?? []).map(value)).toFixed(digits);
  return [
    loop,
    cacheSize,
    pageCache,
    of(({ seconds }) => seconds, 2),
    of(({ received }) => received),
    of(({ after }) => after.shared),
    of(({ after }) => after.filePages),
    of(({ after }) => after.pageCache),
    of(({ after }) => after.anonymous),
    of(({ after }) => after.total + after.filePages),
    of(({ later }) => later.total + later.filePages),
  ];
});
const columns = [
  'loop',
  'cache size',
  'page cache',
  'seconds',
  'received',
  'arena',
  'squashfs pages',
  'heap',
  'FUSE pages',
  'total',
];
console.log(renderTable(columns, rows));
