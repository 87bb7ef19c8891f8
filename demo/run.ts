/**
 * The demo: an image is mounted from three members, a program of it is run, and its whole tree is read and compared with the
 * original, while one member is killed and another stopped. Returns what was seen; throws DemoFailure when something that the
 * demo claims does not hold. Must run in a sandbox; takes down what it makes.
 */
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readStatus } from '../src/mount/control-client.ts';
import { controlPathOf } from '../src/mount/control-path.ts';
import { type Status, statusSchema } from '../src/mount/status.ts';
import { makeCertificateAuthority } from '../test/support/certificates.ts';
import { tetherfsCommand } from '../test/support/daemon.ts';
import { Nginx } from '../test/support/nginx.ts';
import type { PackedImage } from '../test/support/packed-image.ts';
import { plainGet } from '../test/support/plain-http.ts';
import { makeTempDir } from '../test/support/temp-dir.ts';
import { waitUntil } from '../test/support/wait-until.ts';
import { manifestDifferences, startReader } from './reader.ts';
import type { ReaderFigures } from './tree-manifest.ts';

export interface DemoOptions {
  image: PackedImage;
  /** Of the tree that was packed; see tree-manifest.ts. */
  manifest: string;
  /** A program of the image and its arguments, run in a chroot of it. */
  program: readonly string[];
  /** Tells what happens, a line each. */
  say: (line: string) => void;
  /** Rate of the loopback in tc's words, e.g. `100mbit`: on one so fast that nothing is ever under way nothing can be shown. */
  linkRate: string;
}

export interface DemoResult {
  /** What the program wrote. */
  programOutput: string;
  /** As the reading process measured it. */
  reader: ReaderFigures;
  /** When the accidents happened: share of the image that was not fetched yet, requests in flight at the two members. */
  accident: { notFetched: number; inFlightKilled: number; inFlightStopped: number };
  /** After the tree was read, and after the members came back. */
  afterReading: Status;
  atTheEnd: Status;
}

export class DemoFailure extends Error {}

const run = promisify(execFile);
/** Smaller than the image, so that there is something to evict, and something left to fetch for members that come back. */
const cacheSize = '32MiB';
/** Bytes that must come from each member that came back. */
const returnedBytes = 1024 * 1024;
/** Share of the image that must still be to come when the accidents happen, for them to matter. */
export const enoughLeft = 0.2;

export async function runDemo({ image, manifest, program, say, linkRate }: DemoOptions): Promise<DemoResult> {
  await using teardown = new AsyncDisposableStack();
  const directory = teardown.use(makeTempDir('demo'));
  const mountpoint = join(directory.path, 'remoteimg');
  const root = join(directory.path, 'root');
  for (const path of [mountpoint, root]) mkdirSync(path);

  // The burst must hold the largest packet that the kernel segments late (64 KiB).
  await run('tc', [
    'qdisc',
    'replace',
    'dev',
    'lo',
    'root',
    'tbf',
    'rate',
    linkRate,
    'burst',
    '128kb',
    'latency',
    '200ms',
  ]);
  const authority = makeCertificateAuthority(join(directory.path, 'ca'));
  async function member(address: string): Promise<Nginx> {
    const nginx = await Nginx.start({
      address,
      publicDir: image.publicDir,
      certificate: authority.issue([address]),
    });
    return teardown.use(nginx);
  }
  const doomed = await member('127.0.0.11');
  const frozen = await member('127.0.0.12');
  const lasting = await member('127.0.0.13');
  const urls = [doomed.url(image.path, 'https'), frozen.url(image.path, 'http'), lasting.url(image.path, 'https')];
  say(`three members, an nginx each, over a loopback slowed to ${linkRate}: ${urls.join(' ')}`);

  const status = () => askStatus(mountpoint);
  const mountStarted = performance.now();
  teardown.defer(() => unmount(tetherfsCommand, ['unmount', mountpoint]));
  await run(tetherfsCommand, [
    ...['mount', '--digest', image.digest, '--key-file', image.keyFile, '--ca-file', authority.file],
    ...['--cache-size', cacheSize, ...urls, mountpoint],
  ]);
  say(`mounted in ${seconds(performance.now() - mountStarted)}: every chunk is checked against ${image.digest}`);

  await run('mount', ['-o', 'loop,ro', '-t', 'squashfs', join(mountpoint, 'rootimg.sfs'), root]);
  teardown.defer(() => unmount('umount', [root]));

  const { stdout } = await run('chroot', [root, ...program]);
  const programOutput = stdout.trim();
  say(`a program of the image, run in it: ${programOutput}`);

  /** Asked often, so past the command. */
  const statusNow = () => readStatus(controlPathOf(mountpoint));
  await using reader = startReader(root);
  const accident = await waitUntil('both members have requests in flight, or it is too late', async () => {
    const now = await statusNow();
    const [inFlightKilled = 0, inFlightStopped = 0] = now.members.map((line) => line.inFlight);
    const seen = { notFetched: notFetched(now), inFlightKilled, inFlightStopped };
    return ((inFlightKilled > 0 && inFlightStopped > 0) || seen.notFetched < enoughLeft) && seen;
  });
  if (accident.notFetched < enoughLeft) {
    throw new DemoFailure(
      `too late for the accidents: only ${percent(accident.notFetched)} of the image is not fetched`,
    );
  }
  await doomed.kill();
  await frozen.stop();
  say(
    `with ${percent(accident.notFetched)} of the image not fetched: killed ${doomed.address} (${accident.inFlightKilled} requests in flight), stopped ${frozen.address} (${accident.inFlightStopped} in flight)`,
  );
  say(`a plain HTTP client: ${await plainWords(doomed)}; ${await plainWords(frozen)}`);

  const { manifest: found, figures } = await reader.done;
  const differences = manifestDifferences(manifest, found);
  if (differences.length > 0) {
    throw new DemoFailure(`the tree read differs in ${differences.length} lines, first: ${differences[0]}`);
  }
  say(
    `read all of it meanwhile, ${figures.files} files, ${figures.bytes} bytes in ${seconds(figures.totalMs)}: not one byte differs`,
  );
  const afterReading = await waitUntil('both members are known to be out', async () => {
    const now = await status();
    return now.members.slice(0, 2).every(({ state }) => state !== 'up') && now;
  });

  await doomed.restart();
  frozen.cont();
  const restored = performance.now();
  const atTheEnd = await fetchUntil(join(mountpoint, 'rootimg.sfs'), afterReading, async () => {
    const now = await statusNow();
    const inUse = now.members.every((line, i) => {
      const gained = line.bytes - (afterReading.members[i]?.bytes ?? 0);
      return line.state === 'up' && gained >= returnedBytes;
    });
    return inUse ? now : undefined;
  });
  say(`restored both members: in use again after ${seconds(performance.now() - restored)}`);
  return { programOutput, reader: figures, accident, afterReading, atTheEnd };
}

/** The command, as an administrator would ask. */
async function askStatus(mountpoint: string): Promise<Status> {
  const { stdout } = await run(tetherfsCommand, ['status', '--json', mountpoint]);
  return statusSchema.parse(JSON.parse(stdout));
}

function notFetched({ image, cache }: Status): number {
  return Math.max(0, 1 - (cache.chunksPublished * cache.chunkSize) / image.size);
}

/** Reads the file from its start, past the page cache, again and again. @returns the first answer of `enough`. */
async function fetchUntil(path: string, { image }: Status, enough: () => Promise<Status | undefined>): Promise<Status> {
  const directIo = 0o40000;
  const file = await open(path, directIo);
  try {
    const buffer = Buffer.alloc(1024 * 1024);
    const deadline = performance.now() + 30_000;
    for (let offset = 0; ; offset = (offset + 8 * buffer.length) % image.fileSize) {
      const answer = await enough();
      if (answer !== undefined) return answer;
      if (performance.now() > deadline) throw new DemoFailure('members that came back were not used within 30 s');
      for (let i = 0; i < 8; i++) await file.read(buffer, 0, buffer.length, offset + i * buffer.length);
    }
  } finally {
    await file.close();
  }
}

/** What somebody without tetherfs gets from a member. */
async function plainWords(member: Nginx): Promise<string> {
  try {
    const { status } = await plainGet(member.url('os/demo/rootimg.sfs'), {
      timeoutMs: 300,
      headers: { range: 'bytes=0-0' },
    });
    throw new DemoFailure(`${member.address} should be gone, but answers ${status}`);
  } catch (error) {
    if (error instanceof DemoFailure) throw error;
    return error instanceof Error ? error.message : String(error);
  }
}

/** What never got mounted, or is in use because the demo failed, is the sandbox's to take down. */
async function unmount(command: string, args: string[]): Promise<void> {
  await run(command, args).catch(() => undefined);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
