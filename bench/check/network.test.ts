/** The emulated network against ping and a TCP transfer. Bounds are wide: whoever shares the machine is measured too. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Nginx } from '../../test/support/nginx.ts';
import { makeTempDir } from '../../test/support/temp-dir.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { type LinkSettings, type MemberLink, makeNetwork, type Network } from '../network/network.ts';
import { median } from '../support/figures.ts';

const run = promisify(execFile);

/** Round trips in ms of those pings that were answered. */
async function ping(address: string, count: number, intervalSeconds: number): Promise<number[]> {
  // Waits a second for the last answers. Exit status 1: none at all.
  const words = ['-n', '-c', String(count), '-i', String(intervalSeconds), '-W', '1', address];
  const { stdout } = await run('ping', words).catch((error) => error as { stdout: string });
  return [...stdout.matchAll(/time=([\d.]+) ms/g)].map(([, time]) => Number(time));
}

describe('a link', () => {
  const initial: LinkSettings = { megabits: 1000, rttMs: 0.2, loss: 0, queueMs: 30 };
  let network: Network;
  let link: MemberLink;

  beforeAll(async () => {
    network = await makeNetwork([initial, { megabits: 100, rttMs: 1 }]);
    [link] = network.links as [MemberLink];
  });
  afterAll(() => network[Symbol.asyncDispose]());

  test.each([0.2, 1, 20, 50])('of %d ms takes so long for a round trip', async (rttMs) => {
    await link.change({ ...initial, rttMs });
    const times = await ping(link.address, 40, 0.005);
    expect(times).toHaveLength(40);
    // The median of a quiet machine is 0.05 off; the fastest says that nothing comes too early.
    expect(Math.min(...times)).toBeGreaterThan(rttMs * 0.9 - 0.1);
    expect(median(times)).toBeLessThan(rttMs * 1.05 + 0.6);
  });

  test('changes alone', async () => {
    await link.change({ ...initial, rttMs: 30 });
    const other = network.links[1]?.address ?? '';
    expect(median(await ping(other, 10, 0.01))).toBeLessThan(10);
    expect(median(await ping(link.address, 10, 0.01))).toBeGreaterThan(29);
  });

  test('loses the share that it should', async () => {
    await link.change({ ...initial, loss: 0.1 });
    const answered = (await ping(link.address, 500, 0.002)).length;
    // 0.81 of them come back: 405, with a standard deviation of 9.
    expect(answered).toBeGreaterThan(350);
    expect(answered).toBeLessThan(455);
    await link.change(initial);
    expect(await ping(link.address, 50, 0.002)).toHaveLength(50);
  });

  test('falls silent and comes back', async () => {
    await link.silence();
    expect(await ping(link.address, 5, 0.01)).toEqual([]);
    await link.restore();
    expect(await ping(link.address, 5, 0.01)).toHaveLength(5);
  });
});

describe('a TCP transfer', () => {
  const bytes = 10_000_000;
  const directory = makeTempDir('network');
  mkdirSync(join(directory.path, 'os'));
  writeFileSync(join(directory.path, 'os/zeros'), '');
  truncateSync(join(directory.path, 'os/zeros'), bytes);
  let network: Network;
  let link: MemberLink;
  let nginx: Nginx;

  beforeAll(async () => {
    network = await makeNetwork([{ megabits: 200, rttMs: 1 }]);
    [link] = network.links as [MemberLink];
    nginx = await Nginx.start({ address: link.address, launcher: link.launcher, publicDir: directory.path });
  });
  afterAll(async () => {
    await nginx?.close();
    await network?.[Symbol.asyncDispose]();
    directory.remove();
  });

  /** Mbit/s of payload. */
  async function fetchOnce(): Promise<number> {
    const url = nginx.url('os/zeros');
    const { stdout } = await run('curl', ['-sS', '-f', '-o', '/dev/null', '-w', '%{speed_download}', url]);
    return (Number(stdout) * 8) / 1e6;
  }

  test.each([200, 50])(
    'gets the rate of a link of %d Mbit/s, and the wire carries it with its headers',
    async (megabits) => {
      await link.change({ megabits, rttMs: 1, loss: 0, queueMs: 30 });
      const before = await link.wire();
      const rate = await fetchOnce();
      const after = await link.wire();
      expect(rate / megabits).toBeGreaterThan(0.85);
      expect(rate / megabits).toBeLessThan(1.02);
      const frames = Math.ceil(bytes / 1448);
      const carried = after.fromMember.bytes - before.fromMember.bytes;
      // Each frame of 1514 bytes carries 1448; a few were lost in the queue and sent again.
      expect(carried).toBeGreaterThan(bytes + frames * 66);
      expect(carried).toBeLessThan((bytes + frames * 66) * 1.05);
      expect(after.toMember.bytes - before.toMember.bytes).toBeLessThan(bytes / 10);
    },
  );

  test('fills the queue, and no more than the queue', async () => {
    await link.change({ megabits: 50, rttMs: 1, loss: 0, queueMs: 20 });
    const [times] = await Promise.all([ping(link.address, 80, 0.01), fetchOnce()]);
    expect(Math.max(...times)).toBeGreaterThan(12);
    expect(Math.max(...times)).toBeLessThan(35);
    // Fewer than were sent: a full queue drops pings too.
    expect(times.length).toBeGreaterThan(40);
  });

  test('with loss survives it', async () => {
    await link.change({ megabits: 200, rttMs: 1, loss: 0.005, queueMs: 30 });
    const before = await link.wire();
    const rate = await fetchOnce();
    const after = await link.wire();
    expect(rate).toBeGreaterThan(10);
    const frames = after.fromMember.frames - before.fromMember.frames;
    const lost = after.fromMember.lost - before.fromMember.lost;
    expect(lost / frames).toBeGreaterThan(0.002);
    expect(lost / frames).toBeLessThan(0.01);
  });
});

test('nothing is left of a network whose owner was killed', async () => {
  const script = fileURLToPath(new URL('./network-owner.ts', import.meta.url));
  const owner = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(createInterface(owner.stdout), 'line');
  const { launcher } = JSON.parse(line) as MemberLink;
  expect(await devices()).toContain('to-m1');
  owner.kill('SIGKILL');
  await once(owner, 'exit');
  await waitUntil('its device has gone', async () => !(await devices()).includes('to-m1'));
  const [command = '', ...words] = [...launcher, 'true'];
  await expect(run(command, words)).rejects.toThrow();
});

async function devices(): Promise<string[]> {
  const { stdout } = await run('ip', ['-json', 'link']);
  return (JSON.parse(stdout) as { ifname: string }[]).map(({ ifname }) => ifname);
}
