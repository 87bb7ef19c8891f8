/** Repacks under running nodes: with real packs, real servers with directories of their own, and mounts. */
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type PackedImage, pack } from '../../src/imgutil/pack.ts';
import { StagedFiles } from '../../src/imgutil/staged-files.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { Daemon } from '../support/daemon.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { pseudoRandomBytes } from './pseudo-random.ts';
import { expectNoSlotLost, expectRandomReads, expectWhole, fileIn, openImage, readAt } from './reading.ts';

const MiB = 1 << 20;
/** ms. Generous: a stall that is not noticed would last for ever. */
const longestStall = 20_000;
const everyone = [0, 1, 2];

let temp: TempDir;
let members: Nginx[];
let mounts: number;
const publicOf = (member: number) => join(temp.path, `member-${member}/os/demo`);
const urls = () => members.map((member) => member.url('os/demo/rootimg.sfs'));

beforeEach(async () => {
  temp = makeTempDir('repack');
  members = [];
  mounts = 0;
  for (const member of everyone) {
    mkdirSync(publicOf(member), { recursive: true });
    members.push(
      await Nginx.start({ address: `127.0.0.${61 + member}`, publicDir: join(temp.path, `member-${member}`) }),
    );
  }
});
afterEach(async () => {
  for (const member of members) await member.close();
  temp.remove();
});

interface Packed extends PackedImage {
  bytes: Buffer;
}

/** What `image pack` makes of a tree of random bytes, on the machine where images are made. */
async function packed(seed: number, mebibytes = 12): Promise<Packed> {
  const tree = join(temp.path, `tree-${seed}`);
  mkdirSync(tree);
  writeFileSync(join(tree, 'random'), pseudoRandomBytes(mebibytes * MiB, seed));
  const { xts } = loadBinding();
  const options = { outDir: join(temp.path, 'made'), compression: 'lz4', verityBlockSize: 65536, xts } as const;
  const image = await pack({ ...options, sourceDir: tree });
  return { ...image, bytes: readFileSync(image.imagePath) };
}

/** The packed image comes to a member: the files under their digest first, then the links. */
async function bring(member: number, image: Packed): Promise<void> {
  for (const suffix of ['.fsverity', ''])
    copyFileSync(image.imagePath + suffix, join(publicOf(member), basename(image.imagePath) + suffix));
  const staged = new StagedFiles();
  for (const suffix of ['.fsverity', ''])
    await staged.link(basename(image.imagePath) + suffix, join(publicOf(member), `rootimg.sfs${suffix}`));
  await staged.commit();
  await staged.discard();
}

/** As confluent has it: one file under one name, as published an hour ago. */
function lay(member: number, image: Packed): void {
  const file = join(publicOf(member), 'rootimg.sfs');
  for (const suffix of ['', '.fsverity']) {
    rmSync(file + suffix, { force: true });
    copyFileSync(image.imagePath + suffix, file + suffix);
    const hourAgo = Date.now() / 1000 - 3600;
    utimesSync(file + suffix, hourAgo, hourAgo);
  }
}

/** What pack does with a plain file before a new image comes. */
function keepOld(member: number, image: Packed): void {
  for (const suffix of ['', '.fsverity']) {
    const kept = join(publicOf(member), basename(image.imagePath) + suffix);
    if (!existsSync(kept)) linkSync(join(publicOf(member), `rootimg.sfs${suffix}`), kept);
  }
}

function mount(...options: string[]): Promise<Daemon> {
  const mountpoint = join(temp.path, `mnt-${mounts++}`);
  return Daemon.start({ urls: urls(), mountpoint, options });
}

// A small cache, so that chunks are fetched again and again.
const by = ({ digest }: Packed) => ['--digest', digest, '--cache-size', '4MiB'];
const unverified = ['--allow-unverified', '--cache-size', '4MiB'];

/** Reads all the while until `work` is done, and longer; @returns the longest wait of a read in ms. */
async function readDuring(daemon: Daemon, truth: Buffer, work: () => Promise<void>): Promise<number> {
  let done = false;
  let longest = 0;
  let seed = 1;
  const reading = (async () => {
    for (let rounds = 0; !done || rounds < 3; rounds++) {
      const reads = { count: 60, longest: 300_000, seed: seed++, readers: 4 };
      longest = Math.max(longest, await expectRandomReads(fileIn(daemon), truth, reads));
    }
  })();
  try {
    await work();
  } finally {
    done = true;
    await reading;
  }
  return longest;
}

/** Which of the images a mount shows from its first byte to its last. */
async function expectOneOf(daemon: Daemon, images: readonly Packed[]): Promise<Packed> {
  await using file = await openImage(fileIn(daemon), false);
  const head = await readAt(file, 4096, 65_536);
  const shown = images.find(({ bytes }) => bytes.subarray(4096, 4096 + 65_536).equals(head));
  if (shown === undefined) return expect.unreachable('the first bytes are of neither image');
  await expectWhole(fileIn(daemon), shown.bytes);
  return shown;
}

describe.each([
  ['published by digest', bring],
  ['a plain file on each member', async (member: number, image: Packed) => lay(member, image)],
])('members are repacked one after the other, the old image being %s', (_, layOld) => {
  it('every node reads one image: that of its digest, or without one that of the majority', async () => {
    const old = await packed(1);
    for (const member of everyone) await layOld(member, old);
    await using daemon = await mount(...by(old));
    const fresh = await packed(2);
    const longest = await readDuring(daemon, old.bytes, async () => {
      for (const member of everyone) {
        if (member === 1) {
          await using byOld = await mount(...by(old));
          await expectWhole(fileIn(byOld), old.bytes);
          await using byNew = await mount(...by(fresh));
          await expectWhole(fileIn(byNew), fresh.bytes);
          await using without = await mount(...unverified);
          expect((await expectOneOf(without, [old, fresh])).digest).toBe(old.digest);
        }
        keepOld(member, old);
        await bring(member, fresh);
      }
    });
    expect(longest).toBeLessThan(longestStall);
    await using after = await mount(...unverified);
    expect((await expectOneOf(after, [old, fresh])).digest).toBe(fresh.digest);
    // Whom nobody has asked since still counts as it was: read on until each has been.
    const status = await waitUntil(
      'all serve the old image',
      async () => {
        await expectRandomReads(fileIn(daemon), old.bytes, { count: 60, longest: 300_000, seed: 1, readers: 4 });
        const found = await daemon.status();
        const byDigest = ({ state, file }: (typeof found.members)[number]) =>
          state === 'up' && file === basename(old.imagePath);
        return found.members.every(byDigest) && found;
      },
      { timeoutMs: 40_000 },
    );
    expect(status.reads.failed).toBe(0);
    await expectNoSlotLost(daemon);
  });
});

it('image pack over an image in use, on the member itself, again and again: not one wrong byte', async () => {
  const tree = join(temp.path, 'tree');
  mkdirSync(tree);
  writeFileSync(join(tree, 'random'), pseudoRandomBytes(6 * MiB, 1));
  const packing = { sourceDir: tree, compression: 'lz4', verityBlockSize: 65536, xts: loadBinding().xts } as const;
  const [only = 0] = everyone;
  const first = await pack({ ...packing, outDir: publicOf(only) });
  const bytes = readFileSync(first.imagePath);
  const url = urls()[only] ?? '';
  const mountpoint = join(temp.path, 'mnt');
  await using daemon = await Daemon.start({ urls: [url], mountpoint, options: by({ ...first, bytes }) });
  const longest = await readDuring(daemon, bytes, async () => {
    for (let count = 0; count < 3; count++) await pack({ ...packing, outDir: publicOf(only) });
  });
  expect(longest).toBeLessThan(longestStall);
  expect((await daemon.status()).members).toMatchObject([{ state: 'up', errors: {} }]);
});

describe('no digest is known, and the one file is', () => {
  it.each([
    ['overwritten in place', (file: string, bytes: Buffer) => writeFileSync(file, bytes)],
    [
      'replaced',
      (file: string, bytes: Buffer) => {
        rmSync(file);
        writeFileSync(file, bytes);
      },
    ],
  ])('%s, on one member, then on all: each is fenced, and what is cached is served on', async (_, change) => {
    const old = await packed(1, 32);
    const other = pseudoRandomBytes(old.bytes.length, 9);
    for (const member of everyone) lay(member, old);
    // slow enough that several reads at once are spread over all of them
    for (const member of members) await member.reload({ location: 'limit_rate 4m;' });
    const strike = (member: number) => change(join(publicOf(member), 'rootimg.sfs'), other);
    await using daemon = await mount('--allow-unverified', '--on-outage', 'eio', '--outage-timeout', '1');
    await using file = await openImage(fileIn(daemon), true);
    const expectRead = async (offset: number, length: number) => {
      const found = await readAt(file, offset, length);
      if (!found.equals(old.bytes.subarray(offset, offset + length)))
        expect.unreachable(`bytes at ${offset} are wrong`);
    };
    const state = async (member: number) => (await daemon.status()).members[member]?.state;
    const cached = [30 * MiB, old.bytes.length - 30 * MiB] as const;
    await expectRead(...cached);

    strike(1);
    // reads of what is not cached, several at once: each of the three is asked
    const step = 128 * 1024;
    for (let offset = 3 * MiB; (await state(1)) !== 'stale'; offset += 8 * step) {
      if (offset > 28 * MiB) expect.unreachable('many reads, and the member is still not stale');
      await Promise.all(Array.from({ length: 8 }, (_, index) => expectRead(offset + index * step, 65_536)));
    }
    await waitUntil('the others are up', async () => (await state(0)) === 'up' && (await state(2)) === 'up');
    await daemon.says(/member is stale member=\S*127\.0\.0\.62\S* was=\w+ reason="the file changed: ETag /);

    strike(0);
    strike(2);
    await expect(readAt(file, 2 * MiB, 65_536)).rejects.toMatchObject({ code: 'EIO' });
    await waitUntil('all are stale', async () =>
      (await daemon.status()).members.every((member) => member.state === 'stale'),
    );
    const { members: fenced } = await daemon.status();
    // a probe has asked meanwhile, and tells why the member is not taken back
    for (const { reason } of fenced)
      expect(reason).toMatch(/^the file changed: ETag |^it serves another image: bytes /);
    for (const host of [61, 62, 63]) {
      await daemon.says(
        new RegExp(`member is stale member=\\S*127\\.0\\.0\\.${host}\\S* was=\\w+ reason="the file changed`),
      );
    }
    await daemon.says(/no member of the collective is usable|no member is usable/);
    await expectRead(...cached);
  });
});
