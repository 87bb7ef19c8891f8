/**
 * Memory of the daemon after the whole image was read with --cache-size 64MiB, and where it goes
 *
 * Proportional set size (Pss) from smaps, by what is mapped; the arena's memory is counted once by its file's blocks, mapped or not. Beside
 * it what the kernel charges a memory control group that the daemon is put into once it is ready, before the reading begins.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { renderTable } from '../src/base/text-table.ts';
import { Nginx } from '../test/support/nginx.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { makeBenchImage } from './support/bench-image.ts';
import { median } from './support/figures.ts';
import { withFreshMount } from './support/fresh-mount.ts';
import { makeMemoryCgroup } from './support/memory-cgroup.ts';
import { benchOptions } from './support/options.ts';
import { readWhole } from './support/timed-command.ts';

const cacheSize = '64MiB';
const kinds = [
  'arena',
  'program',
  'libraries',
  'heap and JavaScript',
  'stacks',
  'total Pss',
  'memfd blocks',
  'cgroup',
] as const;
type Kind = (typeof kinds)[number];

/** What a line of smaps is about: the name at the end of a mapping's first line. */
function kindOf(name: string): Kind {
  if (name.startsWith('/memfd:')) return 'arena';
  if (name.endsWith('/bin/node')) return 'program';
  if (name.startsWith('/')) return 'libraries';
  return name.startsWith('[stack') ? 'stacks' : 'heap and JavaScript';
}

/** MiB by kind. */
function memoryOf(pid: number): Map<Kind, number> {
  const found = new Map<Kind, number>();
  const add = (kind: Kind, bytes: number) => found.set(kind, (found.get(kind) ?? 0) + bytes / 1024 ** 2);
  let kind: Kind = 'libraries';
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const [, name] = /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)$/.exec(line) ?? [];
    if (name !== undefined) kind = kindOf(name);
    const [, kib] = /^Pss:\s+(\d+) kB$/.exec(line) ?? [];
    if (kib === undefined) continue;
    add(kind, Number(kib) * 1024);
    add('total Pss', Number(kib) * 1024);
  }
  for (const file of readdirSync(`/proc/${pid}/fd`).map((name) => `/proc/${pid}/fd/${name}`)) {
    if (readlinkSync(file).startsWith('/memfd:')) add('memfd blocks', statSync(file).blocks * 512);
  }
  return found;
}

const { runs, imageBytes } = benchOptions({ runs: 3, imageMiB: 512 });
using directory = makeTempDir('bench');
const image = await makeBenchImage(directory.path, imageBytes);
await using nginx = await Nginx.start({ address: '127.0.0.11', publicDir: image.publicDir });
const options = ['--digest', image.digest, '--cache-size', cacheSize];

const measured: Map<Kind, number>[] = [];
for (let run = 0; run < runs; run++) {
  await using group = makeMemoryCgroup();
  const memory = await withFreshMount([nginx.url(image.path)], options, async ({ daemon, file }) => {
    group?.add(daemon.pid);
    await readWhole(file);
    return memoryOf(daemon.pid).set('cgroup', (group?.usage() ?? Number.NaN) / 1024 ** 2);
  });
  measured.push(memory);
}
console.log(`after reading ${image.size} bytes with --cache-size ${cacheSize}, ${runs} runs, MiB`);
const rows = kinds.map((kind) => {
  const values = measured.map((memory) => memory.get(kind) ?? 0);
  return [kind, median(values).toFixed(1), values.map((value) => value.toFixed(1)).join(' ')];
});
console.log(renderTable(['what', 'median', 'runs'], rows));
