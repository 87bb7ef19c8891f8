/**
 * Daemon, holder and readers share too little memory: the pages that the readers bring in have to go again all the time, and a process that
 * wants more and more takes the rest. Neither may the daemon wait for memory that only a read can free, nor be the one who is killed.
 */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isMounted } from '../support/daemon.ts';
import { isRunning } from '../support/process-tree.ts';
import { waitUntil } from '../support/wait-until.ts';
import { HeldMount } from './held-mount.ts';
import { LimitedMemory } from './limited-memory.ts';
import { putPrograms } from './root-tree.ts';
import { Site } from './site.ts';

const run = promisify(execFile);
const MiB = 1024 * 1024;

/**
 * The image is cached twice, as a file and above it as a file system's files: more than the limit. And what the daemon leaves of the limit is more
 * than the daemon, so that it is not the largest: not every machine lets it ask to be spared (oom_score_adj).
 */
const imageMiB = 112;
const limit = 256 * MiB;
const hogs = 2;

let site: Site;
let group: LimitedMemory | undefined;
let mount: HeldMount;
let root: string;
beforeEach(async () => {
  site = await Site.make({
    members: 2,
    mebibytes: imageMiB,
    populate: (tree) => putPrograms(tree, ['/bin/sh', '/usr/bin/sha256sum']),
  });
  group = LimitedMemory.make(limit);
  root = site.path('root');
  mkdirSync(root);
});
afterEach(async () => {
  if (isMounted(mount?.mountpoint)) await run('umount', ['--lazy', root]).catch(() => {});
  await mount?.[Symbol.asyncDispose]();
  await group?.[Symbol.asyncDispose]();
  await site[Symbol.asyncDispose]();
});

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

it('readers go on, and what is killed is what takes the memory', async ({ skip }) => {
  if (group === undefined) return skip('there is no memory controller');
  const { launcher } = group;
  const limited = (command: string, words: readonly string[]) =>
    run(launcher[0] ?? '', [...launcher.slice(1), command, ...words], { timeout: 60_000 });
  mount = await HeldMount.make({
    urls: site.urls(),
    mountpoint: site.newMountpoint(),
    options: ['--digest', site.digest, '--key-file', site.keyFile, '--cache-size', '8MiB', '--page-cache', 'keep'],
    start: limited,
  });
  await limited('mount', ['-o', 'loop,ro', mount.file, root]);

  const whole = sha256(site.plain);
  const random = (await run('sha256sum', [site.path('tree/random')])).stdout.split(' ')[0];
  let over = false;
  const passes = [0, 0];
  async function readAgain(index: number, words: readonly string[], digest: string | undefined): Promise<void> {
    while (!over) {
      const { stdout } = await limited(words[0] ?? '', words.slice(1));
      expect(stdout.split(' ')[0]).toBe(digest);
      passes[index] = (passes[index] ?? 0) + 1;
    }
  }
  let longestStatus = 0;
  async function askAgain(): Promise<void> {
    while (!over) {
      const asked = performance.now();
      await mount.status();
      longestStatus = Math.max(longestStatus, performance.now() - asked);
    }
  }
  /** Each reader has begun anew and come to the end. */
  async function everyoneHasRead(): Promise<void> {
    const wanted = passes.map((pass) => pass + 2);
    const done = () => wanted.every((pass, index) => (passes[index] ?? 0) >= pass);
    await waitUntil('every reader has read the whole image', done, { timeoutMs: 100_000 });
  }

  const readers = Promise.all([
    readAgain(0, ['sha256sum', mount.file], whole),
    // The program, too, comes from the image, and so does what takes the memory.
    readAgain(1, ['chroot', root, '/bin/sha256sum', '/random'], random),
    askAgain(),
  ]);
  readers.catch(() => {}); // Looked at below.
  try {
    await Promise.race([everyoneHasRead(), readers]);
    for (let number = 0; number < hogs; number++) {
      const words = ['chroot', root, '/bin/sh', '-c', 'a=aaaaaaaaaaaaaaaa; while :; do a=$a$a; done'];
      const hog = spawn(launcher[0] ?? '', [...launcher.slice(1), ...words], { stdio: 'ignore' });
      const [, killed] = await Promise.race([once(hog, 'exit'), readers.then(() => [])]);
      expect(killed).toBe('SIGKILL');
      await Promise.race([everyoneHasRead(), readers]);
    }
  } finally {
    over = true;
  }
  await readers;

  const { pid, reads } = await mount.status();
  console.log(
    `${passes} passes; memory taken back ${group.reclaims} times, ${group.kills} killed; status within ${Math.round(longestStatus)} ms`,
  );
  expect(pid).toBe(mount.daemon);
  expect(isRunning(mount.holder)).toBe(true);
  expect(reads.failed).toBe(0);
  expect(group.kills).toBe(hogs);
  expect(group.reclaims).toBeGreaterThan(hogs);
  // src/mount/control-client.ts gives up after 5 s: none did.
});
