/** What `image gc` removes, and what it leaves: days later, with the logs as they would be then. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hexOf, parseDigest } from '../../src/image/digest.ts';
import { rangeMatches } from '../../src/image/range-check.ts';
import { verifySidecar } from '../../src/image/sidecar.ts';
import { collectGarbage, type GcOptions } from '../../src/imgutil/image-gc.ts';
import { pack } from '../../src/imgutil/pack.ts';
import { PrivateFiles } from '../../src/imgutil/private-files.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { Site } from '../members/site.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { makeTree } from './image-tree.ts';
import { logLine } from './log-line.ts';

const hour = 3_600_000;
const day = 24 * hour;

let temp: TempDir;
let log: string;
const at = (...path: string[]) => join(temp.path, ...path);
const publicDir = () => at('public');
const names = () => readdirSync(publicDir()).sort();

beforeEach(() => {
  temp = makeTempDir('gc');
  mkdirSync(publicDir());
  log = at('access.log');
});
afterEach(() => temp.remove());

const digests = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(64));
const nameOf = (hex: string) => `rootimg-${hex}.sfs`;
const filesOf = (hex: string) => [nameOf(hex), `${nameOf(hex)}.fsverity`, `${nameOf(hex)}.trace`];

/** Resolves when a file made now is seen to be younger than one made before: the kernel's clock for files ticks in 4 ms. */
async function fileClockTick(): Promise<void> {
  const probe = at('tick');
  const stamp = () => {
    writeFileSync(probe, '');
    return lstatSync(probe).ctimeMs;
  };
  const before = stamp();
  await waitUntil('the clock of files has gone on', () => stamp() > before, { intervalMs: 1 });
}

/** Images as pack leaves them, one after the other; the last is what rootimg.sfs points at. */
async function publish(hexes: readonly string[]): Promise<void> {
  for (const hex of hexes) {
    for (const name of filesOf(hex)) writeFileSync(join(publicDir(), name), hex);
    await fileClockTick();
  }
  const newest = hexes.at(-1) ?? '';
  for (const suffix of ['', '.fsverity']) symlinkSync(nameOf(newest) + suffix, at('public', `rootimg.sfs${suffix}`));
}

const arrivalOf = (name: string) => lstatSync(at('public', name)).ctimeMs;
const get = (path: string) => ({ request: `GET /confluent-public/os/demo/${path} HTTP/1.1` });

/** Logs that leave no doubt, with these requests besides. */
function writeLog(now: number, requests: readonly [time: number, path: string][] = []): void {
  const covering: [number, string][] = [
    [now - 400 * day, 'rootimg.sfs'],
    [now - hour, 'rootimg.sfs'],
  ];
  const seconds = (time: number) => Math.floor(time / 1000) * 1000;
  writeFileSync(log, [...covering, ...requests].map(([time, path]) => logLine(seconds(time), get(path))).join(''));
  utimesSync(log, now / 1000, now / 1000);
}

/** Eight days later, unless the changes say otherwise. */
function gc(changes: Partial<GcOptions> = {}, logIs?: 'the log as it is'): ReturnType<typeof collectGarbage> {
  const now = Date.now() + 8 * day;
  if (logIs === undefined && !existsSync(log)) writeLog(changes.now ?? now);
  return collectGarbage({
    directory: publicDir(),
    accessLogs: [log],
    keepForMs: 7 * day,
    keep: [],
    dryRun: false,
    now,
    ...changes,
  });
}

const [a = '', b = '', c = '', d = ''] = digests;
const plain = ['rootimg.sfs', 'rootimg.sfs.fsverity'];
const removedOf = ({ images }: Awaited<ReturnType<typeof gc>>) =>
  images.filter(({ removed }) => removed).map(({ digest }) => digest.slice('sha256:'.length));
const whyOf = ({ images }: Awaited<ReturnType<typeof gc>>, hex: string) =>
  images.find(({ digest }) => digest === `sha256:${hex}`)?.why;

describe('removed', () => {
  test('is an old image that nobody asked for, with what lies beside it, and no other file', async () => {
    await publish([a, b]);
    const others = [
      'profile.yaml',
      'rootimg.sfs.trace',
      'rootimg-old.sfs',
      `rootimg-${a}.sfs.bak`,
      `rootimg-${a}`,
      `other-${a}.sfs`,
      `.rootimg-${a}.sfs.new-0123abcd`,
      `rootimg-${'A'.repeat(64)}.sfs`,
    ];
    for (const name of others) writeFileSync(at('public', name), 'x');
    mkdirSync(at('public', nameOf(c)));
    const result = await gc();
    expect(result).toMatchObject({ doubts: [], failures: [], unparsable: new Map() });
    expect(removedOf(result)).toEqual([a]);
    expect(whyOf(result, a)).toMatch(/^nobody asked for it since \d{4}-/);
    expect(names()).toEqual([...filesOf(b), ...plain, ...others, nameOf(c)].sort());
  });

  test('is what another left of an image', async () => {
    await publish([a, b]);
    rmSync(at('public', nameOf(a)));
    expect(removedOf(await gc())).toEqual([a]);
    expect(names()).toEqual([...filesOf(b), ...plain].sort());
  });

  test('are its key and the list of what its boots read with it, and no other', async () => {
    await publish([a, b]);
    const privateFiles = new PrivateFiles(at('private'));
    mkdirSync(privateFiles.directory, { recursive: true });
    const pending = () => readdirSync(privateFiles.directory).sort();
    for (const name of ['key', 'paths'].flatMap((kind) => [a, b].map((hex) => `rootimg-${hex}.${kind}`))) {
      writeFileSync(join(privateFiles.directory, name), 'x');
    }
    writeFileSync(privateFiles.newestKey, 'x');
    const before = pending();
    await gc({ privateFiles, dryRun: true });
    expect(pending()).toEqual(before);
    expect(removedOf(await gc({ privateFiles }))).toEqual([a]);
    expect(pending()).toEqual([`rootimg-${b}.key`, `rootimg-${b}.paths`, 'rootimg.key'].sort());
  });

  test('is nothing with --dry-run, which says the same', async () => {
    await publish([a, b]);
    const before = names();
    expect(removedOf(await gc({ dryRun: true }))).toEqual([a]);
    expect(names()).toEqual(before);
  });
});

describe('kept', () => {
  test.each([
    ['a read', `rootimg-${a}.sfs`],
    ['a question for its sidecar', `rootimg-${a}.sfs.fsverity`],
    ['whatever names it', `?${a.toUpperCase()}`],
  ])('is an image that was asked for within the time: %s', async (_, path) => {
    await publish([a, b, c]);
    const now = Date.now() + 8 * day;
    writeLog(now, [
      [now - 6.9 * day, path],
      [now - 7.1 * day, nameOf(b)],
    ]);
    const result = await gc({ now });
    expect(removedOf(result)).toEqual([b]);
    expect(whyOf(result, a)).toMatch(/^it was asked for at /);
  });

  test('is what rootimg.sfs points at, by whatever kind of link, and what its sidecar’s name means', async () => {
    await publish([a, b, c, d]);
    // rolled back by hand, half
    rmSync(at('public/rootimg.sfs'));
    linkSync(at('public', nameOf(b)), at('public/rootimg.sfs'));
    const result = await gc();
    expect(removedOf(result).sort()).toEqual([a, c]);
    expect(whyOf(result, b)).toBe('rootimg.sfs points at it');
    expect(whyOf(result, d)).toBe('rootimg.sfs points at it');
  });

  test('is what --keep names', async () => {
    await publish([a, b, c]);
    const result = await gc({ keep: [parseDigest(a)] });
    expect(removedOf(result)).toEqual([b]);
    expect(whyOf(result, a)).toBe('named by --keep');
  });

  test('is an image that came here within the time', async () => {
    await publish([a, b]);
    const result = await gc({ now: Date.now() + 6 * day });
    expect(removedOf(result)).toEqual([]);
    expect(whyOf(result, a)).toMatch(/^it came here only at /);
  });

  test('is an image that rootimg.sfs may have pointed at within the time, because requests for that name do not say what they read', async () => {
    await publish([a, b, c]);
    const now = Date.now() + 8 * day;
    const between = (one: string, other: string) => (arrivalOf(nameOf(one)) + arrivalOf(nameOf(other))) / 2;
    // a gave way to b within the time
    const first = await gc({ now, dryRun: true, keepForMs: now - between(a, b) });
    expect(whyOf(first, a)).toMatch(/^rootimg.sfs may have pointed at it until /);
    expect(whyOf(first, b)).toMatch(/^it came here only at /);
    // a gave way to b before it, b to c within it
    const second = await gc({ now, dryRun: true, keepForMs: now - between(b, c) });
    expect(removedOf(second)).toEqual([a]);
    expect(whyOf(second, b)).toMatch(/^rootimg.sfs may have pointed at it until /);
  });
});

describe('in doubt everything is kept', () => {
  test.each<[string, () => void, RegExp]>([
    ['no log', () => rmSync(log), /access\.log cannot be read: no such file/],
    ['rootimg.sfs is missing', () => rmSync(at('public/rootimg.sfs')), /leads to no image/],
    [
      'rootimg.sfs leads nowhere',
      () => {
        symlinkSync(nameOf('e'.repeat(64)), at('public/new'));
        renameSync(at('public/new'), at('public/rootimg.sfs'));
      },
      /leads to no image/,
    ],
  ])('%s', async (_, spoil, doubt) => {
    await publish([a, b]);
    const now = Date.now() + 8 * day;
    writeLog(now);
    spoil();
    const before = names();
    const result = await gc({ now }, 'the log as it is');
    expect(result.doubts).toEqual([expect.stringMatching(doubt)]);
    expect(removedOf(result)).toEqual([]);
    expect(names()).toEqual(before);
  });

  test('rootimg.sfs was switched just now', async () => {
    await publish([a, b]);
    const result = await gc({ now: Date.now() + 1.9 * hour, keepForMs: 1.5 * hour });
    expect(result.doubts).toEqual([expect.stringMatching(/less than two hours ago/)]);
    expect(removedOf(result)).toEqual([]);
    rmSync(log);
    expect(removedOf(await gc({ now: Date.now() + 2.1 * hour, keepForMs: 1.5 * hour }))).toEqual([a]);
  });
});

describe('tetherfs image gc', () => {
  const command = (...args: string[]) =>
    spawnSync(new URL('../../bin/tetherfs', import.meta.url).pathname, ['image', 'gc', ...args], { encoding: 'utf8' });

  test('says of each image what becomes of it, and fails when it cannot be certain', async () => {
    await publish([a, b]);
    writeLog(Date.now());
    const { status, stdout, stderr } = command('--access-log', log, '--keep', b, publicDir());
    expect(stdout.split('\n')).toEqual([
      `kept sha256:${b} (0.0 MiB): rootimg.sfs points at it`,
      `kept sha256:${a} (0.0 MiB): it is not certain that nobody holds it`,
      '',
    ]);
    expect(stderr).toMatch(/^tetherfs: nothing was removed: .*rootimg\.sfs was made at .*, less than two hours ago/);
    expect(status).toBe(1);
  });

  test('says when there is no such directory', () => {
    const { status, stderr } = command('--access-log', log, at('nothing'));
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/^tetherfs: cannot read .*nothing: no such file/),
    });
  });

  test.each([
    ['no log', []],
    ['a time that is none', ['--access-log', 'x', '--keep-for', '7']],
    ['too short a time', ['--access-log', 'x', '--keep-for', '2h']],
    ['a digest that is none', ['--access-log', 'x', '--keep', 'abc']],
  ])('%s is wrong usage', (_, args) => {
    expect(command(...args, publicDir()).status).toBe(2);
  });
});

test('days after two repacks, with the real log of a real server: a node’s image stays and is read on, the one between goes', async () => {
  const packing = {
    sourceDir: makeTree(at('tree')),
    outDir: at('public/os/demo'),
    compression: 'lz4',
    verityBlockSize: 65536,
    xts: loadBinding().xts,
  } as const;
  const held = await pack(packing);
  const image = readFileSync(held.imagePath);
  const verity = verifySidecar(readFileSync(held.sidecarPath), held.digest);
  await using nginx = await Nginx.start({
    address: '127.0.48.1',
    publicDir: publicDir(),
    server: `access_log ${log} combined;`,
  });
  await using site = await Site.open(image, [nginx.url('os/demo/rootimg.sfs')], {
    digest: hexOf(held.digest),
    heartbeatMs: 200,
    sidecar: {
      suffix: '.fsverity',
      maxBytes: 1 << 20,
      accept: () => ({ ...verity, matches: (range, bytes) => rangeMatches(verity, range, bytes) }),
    },
  });
  const between = await pack(packing);
  await fileClockTick();
  const newest = await pack(packing);
  writeFileSync(log, '');
  await waitUntil('it beats', () => readFileSync(log, 'utf8').includes(basename(held.imagePath)));

  const now = Date.now() + 8 * day;
  const later = readFileSync(log, 'utf8').replace(/\[(\d+)\/(\w+)\/(\d+):([\d:]+) ([+-]\d+)\]/g, (_, ...parts) => {
    const [date, month, year, clock, zone] = parts;
    const time = Date.parse(`${date} ${month} ${year} ${clock} ${zone}`) + 8 * day;
    return /\[.*?\]/.exec(logLine(time, get('')))?.[0] ?? '';
  });
  writeFileSync(at('later.log'), logLine(Math.floor(now / 1000) * 1000 - 400 * day, get('')) + later);
  utimesSync(at('later.log'), now / 1000, now / 1000);
  const result = await collectGarbage({
    directory: packing.outDir,
    accessLogs: [at('later.log')],
    keepForMs: 7 * day,
    keep: [],
    dryRun: false,
    now,
  });
  expect(result.doubts).toEqual([]);
  expect(result.images.map(({ digest, removed }) => [digest, removed])).toEqual([
    [newest.digest, false],
    [between.digest, true],
    [held.digest, false],
  ]);
  await site.read({ offset: 0, length: image.length });
  expect(existsSync(between.imagePath)).toBe(false);
});
