/**
 * Servers that take long to begin each answer: a boot storm, cold disks, a satellite. They are slow, and no worse
 * (https://github.com/open-power/petitboot/issues/43: nodes that gave up too early).
 */
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { parseFileUrl } from '../../src/base/file-url.ts';
import { systemTime } from '../../src/base/time-source.ts';
import { Attempt } from '../../src/members/attempt.ts';
import { Member } from '../../src/members/member.ts';
import { memberUrl } from '../../src/members/member-url.ts';
import { patiently } from '../../src/members/patience.ts';
import { ManualTime } from '../support/manual-time.ts';
import { waitUntil } from '../support/wait-until.ts';
import { MisbehavingServer } from './misbehaving-server.ts';
import { chunkSize, makeImage, Site, sidecarOf } from './site.ts';

const image = makeImage(8 * chunkSize);
const digest = '0123456789abcdef'.repeat(4);
const verified = { digest, sidecar: sidecarOf(image) };

test('each deadline doubles with each time-out, up to a bound, and is never shorter than it was', () => {
  const stalls = [0, 1, 4, 9, 1_000].map((times) => patiently({ stallMs: 250, limitMs: 5_000 }, times));
  expect(stalls.map(({ stallMs }) => stallMs)).toEqual([250, 500, 4_000, 30_000, 30_000]);
  expect(stalls.map(({ limitMs }) => limitMs)).toEqual([5_000, 10_000, 80_000, 600_000, 600_000]);
  expect(patiently({ stallMs: 45_000, limitMs: 700_000 }, 3)).toEqual({ stallMs: 45_000, limitMs: 700_000 });
});

// 10 s for a script: https://github.com/danderson/netboot/issues/32; 10 s for each of six tries: https://github.com/coreos/bugs/issues/2527.
test.each([
  ['with a digest', verified],
  ['without', {}],
])('all members are slow from the start: identified, read, and up, %s', { timeout: 60_000 }, async (_, options) => {
  await using first = await MisbehavingServer.start(image);
  await using second = await MisbehavingServer.start(image);
  // Longer than anything unknown is waited for at first.
  first.delayMs = second.delayMs = 1_300;
  await using site = await Site.open(image, [first.url, second.url], { ...options, mountTimeoutMs: 40_000 });
  await Promise.all([0, 4].map((chunk) => site.read({ offset: chunk * chunkSize, length: 4 * chunkSize })));
  await waitUntil('both are up', () => site.collective.status().members.every(({ state }) => state === 'up'), {
    timeoutMs: 40_000,
  });
});

test('all members become slow: reads go on, and they are up in the end', { timeout: 60_000 }, async () => {
  await using first = await MisbehavingServer.start(image);
  await using second = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [first.url, second.url], verified);
  for (let count = 0; count < 8; count++) await site.read({ offset: 0, length: 8 * chunkSize });
  first.delayMs = second.delayMs = 700;
  await Promise.all([0, 4].map((chunk) => site.read({ offset: chunk * chunkSize, length: 4 * chunkSize })));
  await site.readUntil('both are up', () => site.collective.status().members.every(({ state }) => state === 'up'), {
    blind: true,
  });
});

test('one that keeps silent does not keep the others from being asked again for the tree', async () => {
  await using silent = await MisbehavingServer.start(image);
  silent.delayMs = 600_000;
  // Its port is known before it listens.
  const holder = createServer().listen(0, '127.0.0.1');
  await waitUntil('it has a port', () => holder.listening);
  const { port } = holder.address() as { port: number };
  await new Promise((resolve) => holder.close(resolve));
  const late = `http://127.0.0.1:${port}/os/demo/rootimg.sfs`;
  const opening = Site.open(image, [silent.url, late], { ...verified, mountTimeoutMs: undefined });
  await waitUntil('the silent one is asked', () => silent.requests > 0);
  await using server = await MisbehavingServer.start(image, 'good', port);
  await using site = await opening;
  expect(site.member(late).state).toBe('up');
  expect(server.requests).toBeGreaterThan(0);
});

test('a mount that is given up in time says who did not answer', async () => {
  await using silent = await MisbehavingServer.start(image);
  silent.delayMs = 600_000;
  const opening = Site.open(image, [silent.url], { ...verified, mountTimeoutMs: 500 });
  await expect(opening).rejects.toThrow(`${silent.url} (no answer)`);
});

test('one that takes requests and answers none is found out, however often it is asked anew: its kernel takes them', async () => {
  await using silent = await MisbehavingServer.start(image, 'stall-head');
  const member = new Member(memberUrl(parseFileUrl(silent.url)), systemTime, undefined, digest);
  const attempt = () => {
    const begun = new Attempt({
      ...{ member, imageSize: image.length, range: { offset: 0, length: chunkSize }, role: 'first' },
      ...{ fresh: true, patience: 1, time: systemTime },
      sink: { write() {}, close() {} },
      listener: { onDelivered() {}, onFault() {}, onDrained() {}, onLost() {} },
    });
    begun.start();
    return begun;
  };
  const first = attempt();
  await waitUntil('it is asked', () => silent.requests === 1);
  const usual = first.memberStalledAt;
  const second = attempt();
  try {
    await waitUntil('it is asked once more', () => silent.requests === 2);
    expect(first.memberStalledAt).toBe(usual);
    // Who has just asked waits as long.
    expect(second.memberStalledAt).toBeGreaterThan(usual);
  } finally {
    first.kill();
    second.kill();
  }
});

test('one whose usual answers take long is not given up before it counts as stalled, however long ago those were', async () => {
  const time = new ManualTime();
  const member = new Member(memberUrl(parseFileUrl('http://127.0.0.1:9/rootimg.sfs')), time, undefined, digest);
  for (let count = 0; count < 8; count++) member.speed.recordLatency(800, time.now(), true);
  member.lastProgress = time.now();
  // Nothing is believed of it any more, for the choice.
  await time.pass(60_000);
  expect(member.expectedMs(chunkSize)).toBeLessThan(1);
  const attempt = new Attempt({
    ...{ member, imageSize: image.length, range: { offset: 0, length: chunkSize }, role: 'first' },
    ...{ fresh: true, patience: 1, time },
    sink: { write() {}, close() {} },
    listener: { onDelivered() {}, onFault() {}, onDrained() {}, onLost() {} },
  });
  expect(attempt.stalledAt).toBe(attempt.memberStalledAt);
  expect(attempt.isMemberSilent).toBe(true);
});
