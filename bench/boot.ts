/**
 * A recorded boot replayed: images in either order, with and without a trace, beside a single-threaded daemon and a local file
 *
 * The files that a real boot opened (bench/boot/SYSTEM.txt), in its order, through squashfs on a buffered loop device, from three members. Cold: daemon,
 * mount, loop device and squashfs are new each time, so nothing of the image is in any cache of the node. `--system node|workstation` (node),
 * `--megabits N` sets each member's link (1000), `--rtt A,B,…` the round trips in ms (0.2,1,20,50), `--runs N` (3), `--only A,B,…` rows by number, `--json FILE` all values.
 */
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { renderTable } from '../src/base/text-table.ts';
import { pack } from '../src/imgutil/pack.ts';
import { publishTrace } from '../src/imgutil/trace-publish.ts';
import { readTrace } from '../src/mount/control-client.ts';
import { controlPathOf } from '../src/mount/control-path.ts';
import { loadBinding } from '../src/native/binding.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { type BootImage, bootImage, bootPaths, bootRoot, neededBytes, system, withPlainFile } from './boot/image.ts';
import { replayBoot } from './boot/replay.ts';
import { startLinkedMembers } from './network/linked-members.ts';
import { median } from './support/figures.ts';
import { withFreshMount } from './support/fresh-mount.ts';
import { processCost } from './support/process-cost.ts';
import { withOnePath } from './support/reference-mount.ts';

const { values: flags } = parseArgs({
  options: {
    system: { type: 'string', default: 'node' },
    runs: { type: 'string', default: '3' },
    megabits: { type: 'string', default: '1000' },
    rtt: { type: 'string', default: '0.2,1,20,50' },
    only: { type: 'string' },
    json: { type: 'string' },
  },
});
const runs = Number(flags.runs);
const roundTrips = flags.rtt.split(',').map(Number);
const { xts } = loadBinding();

/** One replay. */
interface Boot {
  /** Seconds until the mount is ready: an untethered one has pulled everything by then. */
  ready: number;
  /** Seconds of the read part. */
  read: number;
  requests: number;
  /** MB on the wire, headers and acknowledgements included. */
  wire: number;
  /** Seconds of processor time, and MB in the end, of the daemon. */
  cpu: number;
  pss: number;
}

/** What is measured: a row of the table. */
interface Subject {
  name: string;
  image: BootImage;
  /** Served below this. */
  place: string;
  /** Of `tetherfs mount`; undefined: the yardstick serves it. */
  options: readonly string[] | undefined;
}

const noTrace = ['--no-trace'];
using directory = makeTempDir('bench');
const trace = join(directory.path, 'boot.trace');
const asPacked = bootImage('directories');
const ordered = bootImage('boot');
const link = { megabits: Number(flags.megabits), rttMs: roundTrips[0] ?? 1 };
const publicDir = join(directory.path, 'public');
serve('directories', asPacked);
serve('boot', ordered);
await using members = await startLinkedMembers({ publicDir, path: '' }, [link, link, link]);

/** What a node would have saved, and the image that is packed next by it. */
const recorded = await record();
writeFileSync(trace, recorded);
const repacked = await repack(recorded);
serve('repacked', repacked);

const subjects: Subject[] = [
  { name: 'one path', image: asPacked, place: 'directories', options: undefined },
  { name: 'one path, boot order', image: ordered, place: 'boot', options: undefined },
  { name: 'tethered', image: asPacked, place: 'directories', options: noTrace },
  { name: 'with trace', image: asPacked, place: 'directories', options: ['--trace', trace] },
  { name: 'boot order', image: ordered, place: 'boot', options: noTrace },
  { name: 'boot order, trace', image: ordered, place: 'boot', options: [] },
  { name: 'repacked, its trace', image: repacked, place: 'repacked', options: [] },
  {
    name: 'progressive',
    image: asPacked,
    place: 'directories',
    options: ['--image-method', 'progressive', ...noTrace],
  },
  { name: 'untethered', image: asPacked, place: 'directories', options: ['--image-method', 'untethered'] },
].filter((_, row) => flags.only === undefined || flags.only.split(',').includes(String(row + 1)));

/** Lets the members serve the image below `place`, and its squashfs in clear below `place-clear`. */
function serve(place: string, image: BootImage): void {
  mkdirSync(join(publicDir, `${place}-clear`), { recursive: true });
  symlinkSync(dirname(image.imageFile), join(publicDir, place));
  symlinkSync(image.plainFile, join(publicDir, `${place}-clear`, 'rootimg.sfs'));
}

function urlsOf(place: string): string[] {
  return members.servers.map((server) => server.url(`${place}/rootimg.sfs`));
}

function optionsFor({ digest, keyFile }: BootImage): string[] {
  return ['--digest', digest, '--key-file', keyFile];
}

async function record(): Promise<string> {
  const options = [...optionsFor(asPacked), ...noTrace];
  return withFreshMount(urlsOf('directories'), options, async ({ daemon, file }) => {
    let text = '';
    await replayBoot(file, {
      onRead: async () => {
        text = await readTrace(controlPathOf(daemon.mountpoint));
      },
    });
    return text;
  });
}

/** The same tree packed anew, as a server does it: by the published trace of the image that it replaces. */
async function repack(text: string): Promise<BootImage> {
  const own = join(directory.path, 'repacked');
  for (const part of ['public', 'private']) {
    cpSync(join(dirname(asPacked.publicDir), part), join(own, part), { recursive: true, verbatimSymlinks: true });
  }
  const outDir = join(own, 'public/os/demo');
  const privateDir = join(own, 'private');
  await publishTrace(text, join(outDir, 'rootimg.sfs'), { privateDir, xts });
  const { digest, imageSize } = await pack({
    sourceDir: bootRoot,
    outDir,
    privateDir,
    compression: 'zstd',
    verityBlockSize: 65536,
    xts,
  });
  const { path } = asPacked;
  const publicDir = join(own, 'public');
  const keyFile = join(privateDir, 'pending/rootimg.key');
  return withPlainFile(
    { publicDir, path, imageFile: join(publicDir, path), keyFile, digest, size: imageSize },
    'repacked',
  );
}

/** Bytes on all links so far, both ways, headers and all. */
async function wireBytes(): Promise<number> {
  const wires = await Promise.all(members.links.map((link) => link.wire()));
  return wires.reduce((sum, { toMember, fromMember }) => sum + toMember.bytes + fromMember.bytes, 0);
}

async function boot({ image, place, options }: Subject): Promise<Boot> {
  const before = await wireBytes();
  const wire = async () => ((await wireBytes()) - before) / 1e6;
  if (options === undefined) {
    const [first = ''] = urlsOf(`${place}-clear`);
    const started = performance.now();
    return withOnePath(first, async (file, pid) => {
      const ready = (performance.now() - started) / 1000;
      const read = await replayBoot(file);
      return { ready, read, requests: Number.NaN, wire: await wire(), ...processCost(pid) };
    });
  }
  return withFreshMount(urlsOf(place), [...optionsFor(image), ...options], async ({ daemon, file, readyMs }) => {
    const read = await replayBoot(file);
    const { members: asked } = await daemon.status();
    const requests = asked.reduce((total, { requests: count }) => total + count, 0);
    return { ready: readyMs / 1000, read, requests, wire: await wire(), ...processCost(daemon.pid) };
  });
}

const found = new Map<string, Boot[]>();
const local = new Map<BootImage, number[]>();
const add = <K, V>(to: Map<K, V[]>, key: K, value: V) => void to.set(key, [...(to.get(key) ?? []), value]);
for (let run = 0; run < runs; run++) {
  for (const rttMs of roundTrips) {
    for (const link of members.links) await link.change({ rttMs });
    for (const subject of subjects) add(found, `${rttMs} ${subject.name}`, await boot(subject));
    for (const image of new Set(subjects.map(({ image }) => image)))
      add(local, image, await replayBoot(image.plainFile));
  }
}

const paths = bootPaths();
const needed = new Map<BootImage, number>();
for (const { image } of subjects) needed.set(image, (await neededBytes(image, paths)) / 1e6);
const medianOf = (rttMs: number, name: string, value: (boot: Boot) => number) =>
  median((found.get(`${rttMs} ${name}`) ?? []).map(value));
/** The yardstick on the same image. */
const yardstickOf = ({ image }: Subject) =>
  subjects.find((subject) => subject.options === undefined && subject.image === image)?.name;

console.log(
  `${system}: ${paths.length} files; three members, ${flags.megabits} Mbit/s each, http, image of ${asPacked.size} bytes; medians of ${runs} runs`,
);
for (const [image, seconds] of local) {
  const name = subjects.find((subject) => subject.image === image)?.place;
  console.log(
    `from a local file in the page cache, ${name}: ${median(seconds).toFixed(2)} s; needed: ${needed.get(image)?.toFixed(1)} MB`,
  );
}
const rows = roundTrips.flatMap((rttMs) =>
  subjects.map((subject) => {
    const { name, image } = subject;
    const of = (value: (boot: Boot) => number, digits: number) => medianOf(rttMs, name, value).toFixed(digits);
    const read = medianOf(rttMs, name, (one) => one.read);
    const yardstick = yardstickOf(subject);
    const wire = medianOf(rttMs, name, (one) => one.wire);
    return [
      `${rttMs} ms`,
      name,
      of((one) => one.ready, 2),
      read.toFixed(2),
      (read / median(local.get(image) ?? [])).toFixed(2),
      yardstick === undefined ? '' : (read / medianOf(rttMs, yardstick, (one) => one.read)).toFixed(2),
      subject.options === undefined ? '–' : of((one) => one.requests, 0),
      wire.toFixed(1),
      (wire / (needed.get(image) ?? Number.NaN)).toFixed(2),
      of((one) => one.cpu, 2),
      of((one) => one.pss, 0),
    ];
  }),
);
const columns = ['rtt', 'what', 'ready s', 'read s', 'x local', 'x one path', 'requests', 'MB on the wire', 'x needed'];
console.log(renderTable([...columns, 'CPU s', 'PSS MB'], rows));
if (flags.json !== undefined) writeFileSync(flags.json, JSON.stringify({ system, runs: Object.fromEntries(found) }));
