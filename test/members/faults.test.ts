/** Whatever one member does, readers get the right bytes from the other, and the fault is counted under its name. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { FaultKind, MemberState } from '../../src/members/index.ts';
import { Lag } from '../support/lag.ts';
import { slowedTime } from '../support/slowed-time.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Behaviour, MisbehavingServer } from './misbehaving-server.ts';
import { chunkSize, makeImage, Site, sidecarOf } from './site.ts';

const image = makeImage(20 * chunkSize + 1234);

const cases: [Behaviour, FaultKind, MemberState][] = [
  ['whole-file', 'no-ranges', 'down'],
  ['short-body', 'short-body', 'suspect'],
  ['long-body', 'long-body', 'down'],
  ['chunked-long', 'long-body', 'down'],
  ['other-range', 'content-range', 'down'],
  ['no-content-range', 'content-range', 'down'],
  ['other-size', 'size', 'stale'],
  ['redirect', 'redirect', 'down'],
  ['gzip', 'encoding', 'down'],
  ['multipart', 'encoding', 'down'],
  ['html', 'size', 'stale'],
  ['not-found', 'status', 'down'],
  ['range-unsatisfiable', 'status', 'down'],
  ['unavailable', 'busy', 'down'],
  ['not-http', 'protocol', 'suspect'],
  ['reset', 'reset', 'suspect'],
  ['reset-before', 'reset', 'suspect'],
  ['stall-body', 'timeout', 'suspect'],
  ['stall-head', 'timeout', 'suspect'],
  ['drip', 'timeout', 'up'],
  ['changed', 'changed', 'stale'],
];

/** Of this process, which is client and servers at once: well below what the collective calls late. */
const noticeableLagMs = 20;

describe('a member that turns bad under reads', () => {
  test.each(cases)('%s: counted as %s, and %s', { timeout: 90_000 }, async (behaviour, kind, state) => {
    await using good = await MisbehavingServer.start(image);
    await using bad = await MisbehavingServer.start(image);
    await using site = await Site.open(image, [bad.url, good.url]);
    await waitUntil('both are up', () => site.collective.status().members.every((member) => member.state === 'up'));
    bad.behaviour = behaviour;
    using lag = new Lag();
    await site.readUntil(`a fault of kind ${kind}`, () => (site.member(bad.url).errors[kind] ?? 0) > 0, {
      blind: true,
    });
    // The other is served by this very process: when that did not get its turn, it was late.
    const { timeout: late = 0, ...errors } = site.member(good.url).errors;
    expect(errors).toEqual({});
    if (lag.longest < noticeableLagMs) expect(late).toBe(0);
    // faults may have added up by now
    const states: Partial<Record<MemberState, string[]>> = {
      up: ['up', 'suspect', 'down'],
      suspect: ['suspect', 'down'],
    };
    // Who refuses while it answers others is asked for less first.
    const expected = states[state] ?? [state];
    await site.readUntil(`it is ${expected}`, () => expected.includes(site.member(bad.url).state), { blind: true });

    bad.behaviour = 'good';
    await waitUntil('it is trusted again', () => site.member(bad.url).state === 'up', { timeoutMs: 10_000 });
    expect(site.lines.filter((line) => line.includes(bad.url)).length).toBeLessThan(10);
  });
});

describe('the only member', () => {
  test.each([
    'short-body',
    'reset',
    'reset-before',
    'stall-body',
    'stall-head',
    'unavailable',
    'whole-file',
    'changed',
  ] as const)('%s for a second: the read waits, and ends soon after', async (behaviour) => {
    await using server = await MisbehavingServer.start(image);
    await using site = await Site.open(image, [server.url]);
    server.behaviour = behaviour;
    const read = site.read({ offset: 0, length: 4 * chunkSize }, { blind: true });
    await waitUntil('a fault is seen', () => Object.keys(site.member(server.url).errors).length > 0);
    const since = performance.now();
    await sleep(1_000);
    expect(server.requests / (performance.now() - since)).toBeLessThan(0.2);
    server.behaviour = 'good';
    const target = await read;
    expect(target.openSinks).toBe(0);
    expect(target.mostOpen).toBeLessThanOrEqual(2);
  });
});

test('an idle connection closed at the moment of its reuse is nobody’s fault', async () => {
  await using server = await MisbehavingServer.start(image, 'close-idle');
  server.behaviour = 'good';
  await using site = await Site.open(image, [server.url]);
  server.behaviour = 'close-idle';
  for (let chunk = 0; chunk < 5; chunk++) await site.read({ offset: chunk * chunkSize, length: chunkSize });
  expect(site.member(server.url).errors).toEqual({});
  expect(server.connections).toBeGreaterThan(2);
});

// https://github.com/danderson/netboot/issues/32 has another of those that give a boot no second chance; RFC 9112, 9.3 allows it.
test('a server that hangs up after each answer, unannounced, is identified and read', async () => {
  await using server = await MisbehavingServer.start(image, 'hang-up');
  await using site = await Site.open(image, [server.url], { mountTimeoutMs: 20_000 });
  await site.read({ offset: 0, length: image.length });
  expect(server.connections).toBeGreaterThanOrEqual(2);
});

test('a member with wrong bytes is fenced, and comes back when the very range is right again', async () => {
  await using good = await MisbehavingServer.start(image);
  await using bad = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [bad.url, good.url], { sidecar: sidecarOf(image) });
  await waitUntil('both are up', () => site.collective.status().members.every((member) => member.state === 'up'));
  bad.image = Buffer.from(image).fill(0x77, 5 * chunkSize, 6 * chunkSize);
  await site.readUntil('wrong bytes', () => site.member(bad.url).state === 'corrupt');
  const { requests } = bad;
  await waitUntil('it was probed', () => bad.requests > requests + 5);
  expect(site.member(bad.url).state).toBe('corrupt');
  bad.image = image;
  await waitUntil('it is trusted again', () => site.member(bad.url).state === 'up', { timeoutMs: 10_000 });
  expect(site.lines.filter((line) => line.includes('corrupt'))).toHaveLength(2);
});

test('storage for one copy only: a stalled attempt gives way', async () => {
  await using good = await MisbehavingServer.start(image);
  await using bad = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [bad.url, good.url]);
  await waitUntil('both are up', () => site.collective.status().members.every((member) => member.state === 'up'));
  bad.behaviour = 'stall-body';
  await site.readUntil('a stall', () => (site.member(bad.url).errors['timeout'] ?? 0) > 0, { copies: 1, blind: true });
});

test('a late first byte is hedged, within the budget', async () => {
  await using good = await MisbehavingServer.start(image);
  await using late = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [late.url, good.url]);
  await waitUntil('both are up', () => site.collective.status().members.every((member) => member.state === 'up'));
  late.behaviour = 'stall-head';
  await site.readUntil('a hedge', () => site.member(good.url).hedgesWon > 0);
  expect(site.member(good.url).hedges).toBeGreaterThanOrEqual(site.member(good.url).hedgesWon);
});

test('an answer that crawls is overtaken long before it is overdue', async () => {
  await using good = await MisbehavingServer.start(image);
  await using slow = await MisbehavingServer.start(image);
  // Deadlines come so many times later than they would: what holds up this process is none of them.
  await using site = await Site.open(image, [slow.url, good.url], { time: slowedTime(4) });
  await waitUntil('both are up', () => site.collective.status().members.every((member) => member.state === 'up'));
  slow.behaviour = 'drip';
  const overdue = () => (site.member(slow.url).errors['timeout'] ?? 0) > 0;
  const overtaken = () => site.member(good.url).hedgesWon > 0;
  const read = await site.readUntil('an answer that crawls', () => overtaken() || overdue());
  expect({ overtaken: overtaken(), overdue: overdue() }).toEqual({ overtaken: true, overdue: false });
  // It is listened to for a while yet, and given up.
  await waitUntil('it is overdue', overdue);
  await waitUntil('nothing is under way', () =>
    site.collective.status().members.every(({ inFlight }) => inFlight === 0),
  );
  const { members, bytesWasted } = site.collective.status();
  expect(members.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(read + bytesWasted);
});

test('a cancelled fetch says so, and leaves nothing open', async () => {
  await using server = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [server.url]);
  server.behaviour = 'stall-body';
  const { MemoryTarget } = await import('./memory-target.ts');
  const span = { offset: 0, length: chunkSize };
  const target = new MemoryTarget({ span, chunkSize });
  const fetch = site.collective.fetch(span, 'demand', target);
  await waitUntil('bytes came', () => target.written > 0);
  fetch.cancel();
  await expect(fetch.done).rejects.toMatchObject({ code: 'FETCH_CANCELLED' });
  expect(target.openSinks).toBe(0);
  expect(site.collective.status()).toMatchObject({ demandInFlight: 0, bytesWasted: chunkSize / 2 });
});
