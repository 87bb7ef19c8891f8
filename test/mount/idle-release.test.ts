import { execFileSync } from 'node:child_process';
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Daemon } from '../support/daemon.ts';
import { waitUntil } from '../support/wait-until.ts';
import { expectNoSlotLost, expectWhole, fileIn } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
let options: string[];
beforeAll(async () => {
  site = await Site.make({ mebibytes: 24 });
  options = ['--digest', site.digest, '--idle-time', '5'];
});
afterAll(() => site[Symbol.asyncDispose]());

/** Bytes of memory behind the daemon's arena. */
function arenaOf({ pid }: Daemon): number {
  const files = readdirSync(`/proc/${pid}/fd`).map((name) => `/proc/${pid}/fd/${name}`);
  const arena = files.find((file) => readlinkSync(file).startsWith('/memfd:tetherfs-arena'));
  return arena === undefined ? 0 : statSync(arena).blocks * 512;
}

function pagesOf(file: string): number {
  return Number(execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', file], { encoding: 'utf8' }));
}

it('memory is let go when the readers rest, and what they want then is right', async () => {
  await using daemon = await site.mount([...options, '--idle-cache-size', '4MiB']);
  let most = { arena: 0, pages: 0 };
  // While it is read nobody rests.
  await expectWhole(fileIn(daemon), site.served, () => {
    most = { arena: arenaOf(daemon), pages: pagesOf(fileIn(daemon)) };
  });
  expect(most.arena).toBeGreaterThan(20 << 20);
  expect(most.pages).toBeGreaterThan(20 << 20);
  await waitUntil('it is let go', () => arenaOf(daemon) <= 4 << 20);
  await waitUntil('so are the pages', () => pagesOf(fileIn(daemon)) === 0);
  await expectWhole(fileIn(daemon), site.served);
  await expectNoSlotLost(daemon);
});

it('or kept, as --page-cache and --idle-cache-size say', async () => {
  await using daemon = await site.mount([...options, '--idle-cache-size', '1GiB', '--page-cache', 'keep']);
  await expectWhole(fileIn(daemon), site.served);
  await daemon.says('the readers rest');
  expect(arenaOf(daemon)).toBeGreaterThan(20 << 20);
  expect(pagesOf(fileIn(daemon))).toBeGreaterThan(20 << 20);
});

it('--page-cache none: nothing of the file stays in the kernel', async () => {
  await using daemon = await site.mount(['--digest', site.digest, '--page-cache', 'none']);
  await expectWhole(fileIn(daemon), site.served);
  expect(pagesOf(fileIn(daemon))).toBe(0);
});
