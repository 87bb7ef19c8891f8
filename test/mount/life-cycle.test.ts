import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { controlPathOf } from '../../src/mount/control-path.ts';
import { Daemon, isMounted } from '../support/daemon.ts';
import { connectionOf } from '../support/fuse-connection.ts';
import { itByKernel } from '../support/transport.ts';
import { waitUntil } from '../support/wait-until.ts';
import { expectWhole, fileIn, openImage, readAt } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 4 });
});
afterAll(() => site[Symbol.asyncDispose]());

it('shows one read-only file with size and date, and nothing else', async () => {
  await using daemon = await site.mount();
  expect(readdirSync(daemon.mountpoint)).toEqual(['rootimg.sfs']);
  const { size, mode, uid, mtime } = statSync(fileIn(daemon));
  expect({ size, mode, uid }).toEqual({ size: site.served.length, mode: 0o100444, uid: 0 });
  expect(Math.abs(mtime.getTime() - statSync(site.fileOf(0)).mtime.getTime())).toBeLessThan(1000);
  expect(() => writeFileSync(fileIn(daemon), 'x')).toThrow(/EROFS/);
  expect(() => writeFileSync(join(daemon.mountpoint, 'new'), 'x')).toThrow(/EROFS/);
  expect(() => readFileSync(join(daemon.mountpoint, 'other'))).toThrow(/ENOENT/);
});

itByKernel.each([
  { method: 'tethered', readAheadKiB: 128 },
  { method: 'untethered', readAheadKiB: 1024 },
])('the kernel itself reads ahead in the largest requests only where all is in RAM: $method', async (expected) => {
  await using daemon = await site.mount(['--digest', site.digest, '--image-method', expected.method]);
  await using file = await openImage(fileIn(daemon), false);
  await readAt(file, 0, 1);
  const { fuse } = await daemon.status();
  expect(fuse).toMatchObject({ maxReadBytes: 1 << 20, readAheadKiB: expected.readAheadKiB });
});

it('SIGTERM unmounts, and the exit status is 0', async () => {
  await using daemon = await site.mount();
  await expectWhole(fileIn(daemon), site.served);
  daemon.signal('SIGTERM');
  expect(await daemon.ended).toBe(0);
  expect(isMounted(daemon.mountpoint)).toBe(false);
});

it('SIGTERM at whatever moment of its start: it ends, and no mount is left', async () => {
  for (let trial = 0; trial < 6; trial++) {
    const options = ['--digest', site.digest];
    await using daemon = Daemon.launch({ urls: site.urls(), mountpoint: site.newMountpoint(), options });
    const control = controlPathOf(daemon.mountpoint);
    // It is there right before the mount.
    await waitUntil('it has begun', () => existsSync(control), { intervalMs: 1 });
    await delay(2 * trial);
    daemon.signal('SIGTERM');
    await daemon.ended;
    expect(isMounted(daemon.mountpoint)).toBe(false);
    rmSync(control, { force: true });
  }
});

it('SIGTERM while a file is open: its reader reads on, and the daemon ends with it', async () => {
  await using daemon = await site.mount();
  await using file = await openImage(fileIn(daemon), true);
  daemon.signal('SIGTERM');
  await waitUntil('it is detached', () => !isMounted(daemon.mountpoint));
  expect(await readAt(file, 1_000_000, 5000)).toEqual(site.served.subarray(1_000_000, 1_005_000));
  await file.close();
  expect(await daemon.ended).toBe(0);
});

it('a second SIGTERM ends the mount under its users', async () => {
  await using daemon = await site.mount();
  await using file = await openImage(fileIn(daemon), true);
  daemon.signal('SIGTERM');
  await waitUntil('it is detached', () => !isMounted(daemon.mountpoint));
  daemon.signal('SIGTERM');
  await daemon.ended;
  await expect(readAt(file, 2_000_000, 5000)).rejects.toThrow();
  await file.close();
});

it('umount(8) ends the daemon', async () => {
  await using daemon = await site.mount();
  execFileSync('umount', [daemon.mountpoint]);
  expect(await daemon.ended).toBe(0);
});

it('an abort through /sys/fs/fuse ends readers and daemon, also in an outage', async () => {
  await using other = await Site.make({ members: 1, mebibytes: 4, firstHost: 31 });
  await using daemon = await other.mount();
  await other.members[0]?.kill();
  const reader = spawn('dd', [`if=${fileIn(daemon)}`, 'of=/dev/null', 'bs=64k', 'skip=40', 'count=1', 'iflag=direct'], {
    stdio: 'ignore',
  });
  await waitUntil('it waits', async () => (await daemon.status()).reads.waiting > 0);
  writeFileSync(`${connectionOf(daemon.mountpoint)}/abort`, '1');
  const [status] = await once(reader, 'exit');
  expect(status).not.toBe(0);
  expect(await daemon.ended).toBe(1);
  expect(isMounted(daemon.mountpoint)).toBe(false);
});

it('the daemon killed: readers get an error instead of hanging', async () => {
  await using daemon = await site.mount();
  await using file = await openImage(fileIn(daemon), true);
  await daemon.kill();
  await expect(readAt(file, 3_000_000, 5000)).rejects.toMatchObject({ code: 'ENOTCONN' });
  await file.close();
  execFileSync('umount', [daemon.mountpoint]);
  expect(isMounted(daemon.mountpoint)).toBe(false);
});
