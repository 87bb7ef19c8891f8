/**
 * A Debian machine without a disk, its initramfs by initramfs-tools, tethered, decrypted by the kernel, comes up while members fail, and runs on through a
 * crash and an upgrade of what its root stands on.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as z from 'zod';
import { waitUntil } from '../support/wait-until.ts';
import type { Machine } from './machine.ts';
import { complaint, failedUnits, image, statusOf, successorOf, writeAndDelete } from './node.ts';
import { initramfsSize } from './profiles.ts';
import { address } from './site.ts';
import { bootSuite } from './suite.ts';

const MiB = 1024 * 1024;
const suite = bootSuite('TETHERFS_BOOT_INITRAMFS_TOOLS');
let machine: Machine;

beforeAll(async () => {
  machine = await suite.start({ words: [address] });
});
afterAll(() => machine?.[Symbol.asyncDispose]());

const status = () => statusOf(machine);

it('its initramfs has at most 80 MB', () => {
  expect(initramfsSize(suite.profile)).toBeLessThan(80e6);
});

it('boots, while one member is killed and another stopped', async () => {
  await machine.says(/tetherfs: tethered, from 3 members, every chunk verified against sha256:/);
  await machine.says(/tetherfs: WARNING: the key of the image comes from /);
  await machine.says(/tetherfs: the root file system is there, /);
  await suite.site.members[0]?.kill();
  await suite.site.members[1]?.stop();
  await machine.login();
  const { members, reads } = await status();
  expect(members[2]).toMatchObject({ state: 'up', bytes: expect.any(Number) });
  expect(reads.failed).toBe(0);
  await suite.site.members[0]?.restart();
  suite.site.members[1]?.cont();
  await waitUntil('both are up again', async () => (await status()).members.every(({ state }) => state === 'up'), {
    timeoutMs: 120_000,
  });
});

it('its root is an overlay of compressed RAM over the decrypted image', async () => {
  const mounts = await machine.run("cat /proc/mounts | cut -d ' ' -f 1-3");
  expect(mounts).toContain('tetherfs / overlay');
  expect(mounts).toMatch(/^\/dev\/dm-\d+ \/run\/initramfs\/tetherfs\/lower squashfs$/m);
  expect(mounts).toMatch(/^\/dev\/zram\d+ \/run\/initramfs\/tetherfs\/writable xfs$/m);
  expect(mounts).toMatch(/ \/run\/initramfs\/tetherfs\/image fuse\.tetherfs$/m);
  const record: unknown = JSON.parse(await machine.run('cat /run/tetherfs/boot.json'));
  expect(record).toMatchObject({ method: 'tethered', decryption: 'dm-crypt' });
  expect(
    z
      .object({ steps: z.array(z.object({ name: z.string() })) })
      .parse(record)
      .steps.map(({ name }) => name),
  ).toEqual([...['network', 'decryption', 'image', 'squashfs', 'overlay', 'hand-over']]);
  expect(await machine.run('ps -o args= -p $(pgrep -d , -f ^@tetherfs)')).toMatch(/^@tetherfs-holder .*\n@tetherfs /);
});

it('what is written takes RAM, and what is deleted gives it back by itself', async () => {
  const { taken, givenBack } = await writeAndDelete(machine);
  expect(taken).toBeGreaterThan(190 * MiB);
  expect(givenBack).toBeGreaterThan(taken - 20 * MiB);
});

/** Reads the image's programs again and again, also those that it has read before. */
const startReader = `(while :; do
    echo 1 >/proc/sys/vm/drop_caches
    for file in /usr/bin/*; do cat "$file" >/dev/null 2>>/reader; done
  done) & echo $! >/reader.pid; disown`;

it('the daemon is killed under readers, replaced, and killed again: a pause, no error', async () => {
  await machine.run(startReader);
  let { pid } = await status();
  await machine.run(`kill -9 ${pid}`);
  pid = await successorOf(machine, pid);
  await machine.run(`tetherfs takeover ${image}`);
  pid = await successorOf(machine, pid);
  await machine.run(`kill -9 ${pid}`);
  await successorOf(machine, pid);
  expect(await machine.run('kill $(cat /reader.pid); cat /reader')).toBe('');
  expect((await status()).reads.failed).toBe(0);
});

it('the runtime that all this ran from takes at most 50 MB of RAM', async () => {
  const device = await machine.run(
    "findmnt -no SOURCE /run/initramfs/tetherfs/runtime || sed -n 's/^\\(.*\\) .*runtime .*/\\1/p' /proc/mounts",
  );
  expect(device).toContain('/dev/loop');
  const sectors = await machine.run(`cat /sys/block/${device.trim().split('/').at(-1)}/size`);
  expect(Number(sectors) * 512).toBeLessThan(50e6);
});

it('nothing has failed in it, and it switches off without a complaint', async () => {
  expect(await failedUnits(machine)).toBe('');
  expect(await machine.powerOff()).not.toMatch(complaint);
});
