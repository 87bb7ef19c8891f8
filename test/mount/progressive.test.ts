import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { retether, untether } from '../../src/mount/control-client.ts';
import { controlPathOf } from '../../src/mount/control-path.ts';
import type { Daemon } from '../support/daemon.ts';
import { waitUntil } from '../support/wait-until.ts';
import { LoopDevice } from './loop-device.ts';
import { expectNoSlotLost, expectRandomReads, expectWhole, fileIn } from './reading.ts';
import { Site } from './site.ts';

const progressive = ['--image-method', 'progressive'];

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 24 });
});
afterAll(() => site[Symbol.asyncDispose]());

/** All of it but what is no whole sector. */
async function expectLoopReads(loop: LoopDevice): Promise<void> {
  const whole = Math.floor(site.served.length / 512) * 512;
  const found = await loop.read(0, whole);
  expect(found.equals(site.served.subarray(0, whole))).toBe(true);
}

function untethered(daemon: Daemon): Promise<unknown> {
  return waitUntil('it is untethered', async () => (await daemon.status()).memory.state === 'untethered');
}

describe('progressive', () => {
  it('is ready at once, and becomes untethered under its readers: loop device moved, network dropped, daemon expendable', async () => {
    await using daemon = await site.mount(['--digest', site.digest, ...progressive, '--background-rate', '12MiB']);
    expect((await daemon.status()).memory).toMatchObject({
      method: 'progressive',
      state: 'filling',
      passthrough: false,
    });
    await using loop = await LoopDevice.attach(fileIn(daemon));
    const reading = expectRandomReads(fileIn(daemon), site.served, {
      count: 400,
      longest: 150_000,
      seed: 1,
      readers: 3,
    });
    await expectLoopReads(loop);
    await reading;
    await untethered(daemon);
    await waitUntil('the loop device is moved', async () =>
      (await daemon.status()).memory.loopDevices.includes(loop.path),
    );
    await daemon.says('untethered: the whole image is in RAM');
    await waitUntil('no connection is left', async () =>
      (await daemon.status()).members.every(({ connections }) => connections === 0),
    );
    await expectNoSlotLost(daemon);

    for (const member of site.members) await member.kill();
    await expectWhole(fileIn(daemon), site.served);
    const { bytes } = (await daemon.status()).reads;
    await expectLoopReads(loop);
    expect((await daemon.status()).reads.bytes).toBe(bytes);
    await daemon.kill();
    await expectLoopReads(loop);
    for (const member of site.members) await member.restart();
  });

  it('moves a loop device that comes late, too', async () => {
    await using daemon = await site.mount(['--digest', site.digest, ...progressive]);
    await untethered(daemon);
    await using late = await LoopDevice.attach(fileIn(daemon));
    await waitUntil('it is moved', async () => (await daemon.status()).memory.loopDevices.includes(late.path), {
      timeoutMs: 20_000,
    });
    await expectLoopReads(late);
  });

  it('does not fill faster than --background-rate', async () => {
    await using daemon = await site.mount(['--digest', site.digest, ...progressive, '--background-rate', '4MiB']);
    // From before the first answer to after the last: a busy machine only makes the rate look smaller.
    const from = performance.now();
    const { bytes: before } = (await daemon.status()).memory;
    const bytes = await waitUntil('half is there', async () => {
      const { bytes } = (await daemon.status()).memory;
      return bytes > before + (10 << 20) && bytes;
    });
    const seconds = (performance.now() - from) / 1000;
    // A request may overdraw the rate, and some was saved up.
    expect((bytes - before - (3 << 20)) / seconds).toBeLessThan(4 << 20);
  });
});

describe('untether and retether', () => {
  it('a tethered mount takes the whole image into RAM, and lets it go again, under its readers', async () => {
    await using daemon = await site.mount(['--digest', site.digest, '--cache-size', '8MiB']);
    await using loop = await LoopDevice.attach(fileIn(daemon));
    const control = controlPathOf(daemon.mountpoint);
    await expectRandomReads(fileIn(daemon), site.served, { count: 100, longest: 150_000, seed: 2 });
    for (let round = 0; round < 2; round++) {
      const reading = expectRandomReads(fileIn(daemon), site.served, {
        count: 600,
        longest: 150_000,
        seed: 3,
        readers: 3,
      });
      await untether(control, {});
      await reading;
      await untethered(daemon);
      await waitUntil('the loop device is moved', async () =>
        (await daemon.status()).memory.loopDevices.includes(loop.path),
      );
      await expectLoopReads(loop);

      const more = expectRandomReads(fileIn(daemon), site.served, {
        count: 600,
        longest: 150_000,
        seed: 4,
        readers: 3,
      });
      await retether(control, false);
      await more;
      const { memory } = await daemon.status();
      expect(memory).toMatchObject({ state: 'tethered', bytes: 0, loopDevices: [] });
      expect(ramFileOf(daemon)).toBeUndefined();
      await expectLoopReads(loop);
      await expectNoSlotLost(daemon);
    }
  });

  it('retether while it fills', async () => {
    await using daemon = await site.mount(['--digest', site.digest]);
    const control = controlPathOf(daemon.mountpoint);
    await untether(control, { backgroundRate: 2 << 20 });
    await waitUntil('some is there', async () => (await daemon.status()).memory.bytes > 1 << 20);
    await retether(control, false);
    expect((await daemon.status()).memory).toMatchObject({ state: 'tethered', bytes: 0 });
    await expectWhole(fileIn(daemon), site.served);
  });

  it('retether that fails while RAM is filled: it is filled on', async () => {
    await using daemon = await site.mount(['--digest', site.digest]);
    const control = controlPathOf(daemon.mountpoint);
    await untether(control, { backgroundRate: 6 << 20 });
    await waitUntil('some is there', async () => (await daemon.status()).memory.bytes > 1 << 20);
    await using _loop = await LoopDevice.attach(ramFileOf(daemon) ?? '');
    // The file cannot be found where it should be, so the loop device has nowhere to go.
    execFileSync('mount', ['--bind', site.path('.'), daemon.mountpoint]);
    try {
      await expect(retether(control, false)).rejects.toMatchObject({ code: 'LOOP_DEVICE' });
    } finally {
      execFileSync('umount', [daemon.mountpoint]);
    }
    await untethered(daemon);
    await expectWhole(fileIn(daemon), site.served);
  });

  it('retether keeps the memory while no member serves the image', async () => {
    await using daemon = await site.mount(['--digest', site.digest, '--image-method', 'progressive']);
    const control = controlPathOf(daemon.mountpoint);
    await untethered(daemon);
    for (const member of site.members) await member.kill();
    await expect(retether(control, false)).rejects.toMatchObject({ code: 'NO_MEMBER' });
    expect((await daemon.status()).memory.state).toBe('untethered');
    await expectWhole(fileIn(daemon), site.served);
    for (const member of site.members) await member.restart();
    await retether(control, false);
    expect((await daemon.status()).memory).toMatchObject({ state: 'tethered', bytes: 0 });
    await expectWhole(fileIn(daemon), site.served);
  });

  it('retether in an outage does not wait for a reader that waits', async () => {
    await using daemon = await site.mount(['--digest', site.digest]);
    const control = controlPathOf(daemon.mountpoint);
    await untether(control, { backgroundRate: 2 << 20 });
    await waitUntil('some is there', async () => (await daemon.status()).memory.bytes > 1 << 20);
    for (const member of site.members) await member.kill();
    expect((await daemon.status()).memory.state).toBe('filling');
    const reading = expectRandomReads(fileIn(daemon), site.served, { count: 40, longest: 9000, seed: 5, readers: 8 });
    await waitUntil('they wait', async () => (await daemon.status()).reads.waiting > 0);
    await retether(control, true);
    expect((await daemon.status()).memory).toMatchObject({ state: 'tethered', bytes: 0 });
    for (const member of site.members) await member.restart();
    await reading;
  });

  it('memory that does not keep what was put into it is noticed, and not relied on', async () => {
    await using daemon = await site.mount(['--digest', site.digest, '--key-file', site.keyFile]);
    await untether(controlPathOf(daemon.mountpoint), { backgroundRate: 8 << 20 });
    await waitUntil('half is there', async () => (await daemon.status()).memory.bytes > 12 << 20);
    // It cannot be complete, and so be looked through, before the memory is spoilt.
    for (const member of site.members) await member.stop();
    expect((await daemon.status()).memory.state).toBe('filling');
    const ram = openSync(ramFileOf(daemon) ?? '', 'r+');
    writeSync(ram, 'rot', 5_000_000);
    closeSync(ram);
    for (const member of site.members) member.cont();
    await waitUntil('it is let go', async () => (await daemon.status()).memory.state === 'tethered');
    await daemon.says(/chunk 76 of the image in RAM is not what was served/);
    await expectWhole(fileIn(daemon), site.plain);
  });
});

/** The daemon's RAM file, through /proc: root may write to it there, as a broken memory module would. */
function ramFileOf({ pid }: Daemon): string | undefined {
  const descriptors = `/proc/${pid}/fd`;
  const found = readdirSync(descriptors).find((fd) => linkOf(join(descriptors, fd)).includes('memfd:tetherfs-image'));
  return found && join(descriptors, found);
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
