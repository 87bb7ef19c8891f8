/** Answers that are not what nginx sends, and right all the same; and members that refuse because they have enough to do. */
import { describe, expect, test } from 'vitest';
import { Concurrency } from '../../src/members/concurrency.ts';
import { waitUntil } from '../support/wait-until.ts';
import { type Behaviour, MisbehavingServer } from './misbehaving-server.ts';
import { chunkSize, makeImage, Site, sidecarOf } from './site.ts';

const image = makeImage(24 * chunkSize);
const digest = '0123456789abcdef'.repeat(4);
const verified = { digest, sidecar: sidecarOf(image) };

async function expectServes(site: Site, url: string): Promise<void> {
  for (let chunk = 0; chunk < 24; chunk += 4) await site.read({ offset: chunk * chunkSize, length: 4 * chunkSize });
  expect(site.member(url)).toMatchObject({ state: 'up', errors: {} });
}

describe('a member is up, and blamed for nothing,', () => {
  // RFC 9110, 15.3.7; as in https://github.com/apache/opendal/issues/5689.
  test.each<[Behaviour, number]>([
    ['capped', 65_536],
    ['capped', 1_000],
    ['capped-closing', 100_000],
  ])('when an answer holds less than was asked for: %s, %i bytes', async (behaviour, cap) => {
    await using server = await MisbehavingServer.start(image, behaviour);
    server.cap = cap;
    for (const options of [{}, verified]) {
      await using site = await Site.open(image, [server.url], options);
      await expectServes(site, server.url);
    }
  });

  // https://github.com/versity/versitygw/issues/2398
  test.each<Behaviour>(['other-case', 'blank-behind', 'byte-by-byte'])(
    'when its header is written in another way: %s',
    async (behaviour) => {
      await using server = await MisbehavingServer.start(image, behaviour);
      await using site = await Site.open(image, [server.url]);
      await expectServes(site, server.url);
    },
  );

  // https://github.com/nodejs/undici/issues/5119; ETags: https://github.com/hapijs/inert/issues/29
  test.each<Behaviour>(['size-untold', 'etags-in-turn'])(
    'when a digest tells what the header does not: %s',
    async (behaviour) => {
      await using server = await MisbehavingServer.start(image, behaviour);
      await using site = await Site.open(image, [server.url], verified);
      await expectServes(site, server.url);
    },
  );
});

// One of two servers behind one address is ill: a load balancer without health checks, which gives each its turn.
test.each([{}, verified])('a member that refuses every second request serves', async (options) => {
  await using server = await MisbehavingServer.start(image, 'busy-in-turn');
  await using site = await Site.open(image, [server.url], options);
  for (let chunk = 0; chunk < 24; chunk += 4) await site.read({ offset: chunk * chunkSize, length: 4 * chunkSize });
});

// As a server without threads; the sidecar's connection is the image's, too.
test('a member that serves one connection at a time is identified', async () => {
  await using server = await MisbehavingServer.start(image);
  server.oneAtATime = true;
  await using site = await Site.open(image, [server.url], verified);
  await site.read({ offset: 0, length: chunkSize });
  expect(site.member(server.url)).toMatchObject({ state: 'up', errors: {} });
});

test('without a digest, several servers behind one address cannot be told from one whose file changes', async () => {
  await using server = await MisbehavingServer.start(image, 'etags-in-turn');
  await expect(Site.open(image, [server.url], { mountTimeoutMs: 0 })).rejects.toThrow(/stale: the file changed: ETag/);
});

// As in https://github.com/bezzad/Downloader.Desktop/issues/14.
describe('a member that answers only a few requests at once', () => {
  test('is asked for no more than that, and stays up', async () => {
    await using server = await MisbehavingServer.start(image);
    await using site = await Site.open(image, [server.url]);
    server.behaviour = 'few-at-once';
    server.delayMs = 20;
    const chunks = Array.from({ length: 24 }, (_, chunk) => chunk);
    await Promise.all(chunks.map((chunk) => site.read({ offset: chunk * chunkSize, length: chunkSize })));
    const { refused } = server;
    expect(refused).toBeGreaterThan(0);
    expect(site.member(server.url)).toMatchObject({ state: 'up', errors: { busy: refused } });
    // It is known by now.
    await Promise.all(chunks.map((chunk) => site.read({ offset: chunk * chunkSize, length: chunkSize })));
    expect(server.refused - refused).toBeLessThanOrEqual(2);
  });

  test('one that refuses though it has nothing else to do is down', async () => {
    await using server = await MisbehavingServer.start(image);
    await using other = await MisbehavingServer.start(image);
    await using site = await Site.open(image, [server.url, other.url]);
    await waitUntil('both are up', () => site.collective.status().members.every(({ state }) => state === 'up'));
    // Whatever was measured meanwhile, it is the one to be asked.
    other.delayMs = 200;
    server.behaviour = 'unavailable';
    await site.readUntil('it is down', () => site.member(server.url).state === 'down');
    expect(site.member(server.url).reason).toMatch(/^status 503: the server has too much to do/);
  });

  test('more is tried by and by', () => {
    const concurrency = new Concurrency();
    expect(concurrency.limit(0)).toBe(Number.POSITIVE_INFINITY);
    concurrency.refused(7, 1_000);
    concurrency.refused(2, 1_000);
    concurrency.refused(5, 1_000);
    expect(concurrency.limit(5_999)).toBe(2);
    expect([6_000, 11_000, 16_000].map((now) => concurrency.limit(now))).toEqual([3, 5, 8]);
    concurrency.refused(0, 16_000);
    expect(concurrency.limit(16_000)).toBe(1);
    expect(concurrency.limit(1_000_000)).toBeGreaterThan(64);
  });
});

describe('a member that passes each probe and fails each read', () => {
  test('does not end an outage: readers get their error in time, and it is asked ever less often', async () => {
    await using server = await MisbehavingServer.start(image);
    await using site = await Site.open(image, [server.url], { onOutage: { mode: 'eio', timeoutMs: 1_500 } });
    server.behaviour = 'only-ends';
    const before = server.requests;
    const read = site.read({ offset: 4 * chunkSize, length: chunkSize }, { blind: true });
    await expect(read).rejects.toMatchObject({ code: 'OUTAGE' });
    // Each return costs a probe's two requests and a read's one.
    expect(server.requests - before).toBeLessThan(40);
    server.behaviour = 'good';
    await waitUntil('it is up', () => site.member(server.url).state === 'up');
    await site.read({ offset: 4 * chunkSize, length: chunkSize });
  });
});
