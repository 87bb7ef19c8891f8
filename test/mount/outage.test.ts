import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Lag } from '../support/lag.ts';
import type { Nginx } from '../support/nginx.ts';
import { itByKernel } from '../support/transport.ts';
import { waitUntil } from '../support/wait-until.ts';
import { expectWhole, fileIn, openImage, readAt } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
beforeEach(async () => {
  site = await Site.make({ mebibytes: 8 });
});
afterEach(() => site[Symbol.asyncDispose]());

const everyMember = (act: (member: Nginx) => unknown) => Promise.all(site.members.map(act));

it.each([
  { name: 'killed', out: (member: Nginx) => member.kill(), back: (member: Nginx) => member.restart() },
  { name: 'stopped', out: (member: Nginx) => member.stop(), back: async (member: Nginx) => member.cont() },
])(
  'all members $name, then back: reads wait, status answers and says why, and then they succeed',
  async ({ out, back }) => {
    await using daemon = await site.mount();
    await everyMember(out);
    const whole = expectWhole(fileIn(daemon), site.served);
    const status = await waitUntil('reads wait', async () => {
      const now = await daemon.status();
      return now.collective.outageMs > 0 && now.reads.waiting > 0 && now;
    });
    for (const { state, reason } of status.members) {
      expect(state).not.toBe('up');
      expect(reason).not.toBe('');
    }
    await everyMember(back);
    await whole;
    const after = await waitUntil('the outage is over', async () => {
      const now = await daemon.status();
      return now.collective.outageMs === 0 && now;
    });
    expect(after.reads.failed).toBe(0);
  },
);

it('what is cached is served during an outage', async () => {
  await using daemon = await site.mount();
  await expectWhole(fileIn(daemon), site.served);
  await everyMember((member) => member.kill());
  await using file = await openImage(fileIn(daemon), true);
  expect(await readAt(file, 4_000_001, 100_000)).toEqual(site.served.subarray(4_000_001, 4_100_001));
});

it('with --on-outage eio reads fail after the time-out, not before, and succeed when a member is back', async () => {
  const options = ['--digest', site.digest, '--on-outage', 'eio', '--outage-timeout', '1.5'];
  await using daemon = await site.mount(options);
  await using file = await openImage(fileIn(daemon), true);
  const started = performance.now();
  await everyMember((member) => member.kill());
  await expect(readAt(file, 5_000_000, 4096)).rejects.toMatchObject({ code: 'EIO' });
  expect(performance.now() - started).toBeGreaterThan(1_500);
  await site.members[2]?.restart();
  await waitUntil('a member is up', async () => (await daemon.status()).collective.outageMs === 0);
  expect(await readAt(file, 5_000_000, 4096)).toEqual(site.served.subarray(5_000_000, 5_004_096));
});

itByKernel('a reader that waits can be killed at once', async () => {
  await using daemon = await site.mount();
  await everyMember((member) => member.kill());
  const reader = spawn('dd', [`if=${fileIn(daemon)}`, 'of=/dev/null', 'bs=64k', 'skip=60', 'count=1', 'iflag=direct'], {
    stdio: 'ignore',
  });
  await waitUntil('it waits', async () => (await daemon.status()).reads.waiting > 0);
  reader.kill('SIGKILL');
  await once(reader, 'exit');
  await waitUntil('nothing waits', async () => (await daemon.status()).reads.waiting === 0);
  expect((await daemon.status()).reads.interrupted).toBe(1);
});

it('a mount during an outage is made when a member comes back', async () => {
  await everyMember((member) => member.kill());
  const mount = site.mount();
  await site.members[1]?.restart();
  await using daemon = await mount;
  await expectWhole(fileIn(daemon), site.served);
});

it('the first member in the list silent: the mount is ready all the same', async () => {
  await site.members[0]?.stop();
  using lag = new Lag();
  const started = performance.now();
  await using daemon = await site.mount();
  // bench/silent-first-member.ts has the figure; here only: it does not wait for that member's time-outs.
  expect(performance.now() - started - lag.longest).toBeLessThan(5_000);
  await expectWhole(fileIn(daemon), site.served);
});
