/**
 * The kernel transport beside libfuse: cached random 4 KiB reads, sequential reads, start
 *
 * All of the image is in the arena. Mounts by either take turns in each run.
 */
import { readFileSync } from 'node:fs';
import { Nginx } from '../test/support/nginx.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { makeBenchImage } from './support/bench-image.ts';
import { type Measured, printFigures } from './support/figures.ts';
import { randomReadRate } from './support/fio.ts';
import { withFreshMount } from './support/fresh-mount.ts';
import { benchOptions } from './support/options.ts';
import { timeCommand } from './support/timed-command.ts';

const secondsEach = 3;
const transports = ['kernel', 'libfuse'] as const;

const { runs, imageBytes } = benchOptions({ runs: 3, imageMiB: 256 });
using directory = makeTempDir('bench');
const image = await makeBenchImage(directory.path, imageBytes);
await using nginx = await Nginx.start({ address: '127.0.0.11', publicDir: image.publicDir });
const cached = ['--digest', image.digest, '--cache-size', String(2 * image.size), '--page-cache', 'none'];

/** CPU seconds of a process so far. proc(5), stat. */
function cpuSeconds(pid: number): number {
  const [, user = 0, system = 0] =
    /\) (?:\S+ ){11}(\d+) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.map(Number) ?? [];
  return (user + system) / 100;
}

const table = (unit: string, digits = 0): Measured[] => transports.map((name) => ({ name, unit, digits, values: [] }));
const tables = {
  'ready after': table('ms'),
  'random 4 KiB, depth 1': table('IOPS'),
  'random 4 KiB, depth 16': table('IOPS'),
  'sequential, from the cache': table('MB/s'),
  'CPU of the daemon for that, a GB': table('s', 2),
};

for (let run = 0; run < runs; run++) {
  for (const [index, transport] of transports.entries()) {
    await withFreshMount(
      [nginx.url(image.path)],
      [...cached, '--transport', transport],
      async ({ file, readyMs, daemon }) => {
        const note = (what: keyof typeof tables, value: number) => tables[what][index]?.values.push(value);
        const read = () => timeCommand('dd', `if=${file}`, 'of=/dev/null', 'bs=1M');
        note('ready after', readyMs);
        await read();
        note('random 4 KiB, depth 1', await randomReadRate(file, 1, secondsEach));
        note('random 4 KiB, depth 16', await randomReadRate(file, 16, secondsEach));
        const before = cpuSeconds(daemon.pid);
        const times = 4;
        let seconds = 0;
        for (let time = 0; time < times; time++) seconds += await read();
        note('sequential, from the cache', (times * image.size) / 1e6 / seconds);
        note('CPU of the daemon for that, a GB', (cpuSeconds(daemon.pid) - before) / ((times * image.size) / 1e9));
      },
    );
  }
}
for (const [what, measured] of Object.entries(tables)) {
  console.log(`\n${what}`);
  printFigures(measured, 'kernel');
}
