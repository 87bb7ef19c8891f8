import { readFileSync, statSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { VerityBuilder } from '../../src/image/verity-builder.ts';
import { type Behaviour, MisbehavingServer } from '../members/misbehaving-server.ts';
import { Daemon } from '../support/daemon.ts';
import { waitUntil } from '../support/wait-until.ts';
import { expectNoSlotLost, expectRandomReads, expectWhole, fileIn } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
beforeAll(async () => {
  site = await Site.make({ members: 2, mebibytes: 8 });
});
afterAll(() => site[Symbol.asyncDispose]());

it.each<Behaviour>([
  'reset',
  'whole-file',
  'short-body',
  'long-body',
  'chunked-long',
  'other-range',
  'redirect',
  'gzip',
  'html',
  'not-http',
  'stall-body',
  'drip',
  'wrong-bytes',
])('a third member that begins to answer with "%s" costs neither a wrong byte nor an error', async (behaviour) => {
  await using third = await MisbehavingServer.start(site.served);
  third.sidecar = readFileSync(`${site.fileOf(0)}.fsverity`);
  const options = ['--digest', site.digest, '--cache-size', '2MiB'];
  await using daemon = await site.mount(options, [third.url, ...site.urls()]);
  await expectWhole(fileIn(daemon), site.served, (offset) => {
    if (offset >= site.served.length / 4) third.behaviour = behaviour;
  });
  // Which member gets a span is drawn by lot: read on until it has been asked and has failed.
  let seed = 11;
  await waitUntil('it was caught', async () => {
    await expectRandomReads(fileIn(daemon), site.served, { count: 100, longest: 80_000, seed: seed++, readers: 4 });
    const [first] = (await daemon.status()).members;
    return Object.keys(first?.errors ?? {}).length > 0;
  });
  await expectNoSlotLost(daemon);
  expect((await daemon.status()).reads.failed).toBe(0);
});

// A value that makes no sense is unknown, and no reason not to mount.
it.each([
  ['Last-Modified: Fri, 01 Jan 1960 00:00:00 GMT'],
  ['Last-Modified: Fri, 31 Dec 9999 23:59:59 GMT'],
  ['Last-Modified: yesterday'],
  ['Date: Fri, 01 Jan 1960 00:00:00 GMT', 'Last-Modified: Fri, 01 Jan 1960 00:00:00 GMT'],
  ['Keep-Alive: timeout=99999999999999999999, max=-1'],
  ['Content-Type: \u00ff/x'],
  [`X-Long: ${'x'.repeat(8_000)}`],
  ['Age: -1', 'Retry-After: never', 'Accept-Ranges: none'],
])('%.60s: mounted, and right', async (...headers) => {
  await using server = await MisbehavingServer.start(site.served);
  server.sidecar = readFileSync(`${site.fileOf(0)}.fsverity`);
  server.headers = headers;
  for (const options of [['--digest', site.digest], ['--allow-unverified']]) {
    await using daemon = await site.mount(options, [server.url]);
    await expectWhole(fileIn(daemon), site.served);
    const { mtimeMs } = statSync(fileIn(daemon));
    expect(mtimeMs).toBeGreaterThanOrEqual(0);
  }
});

// Sizes that became memory, or negative: https://github.com/status-im/nimbus-eth2/issues/1650, https://github.com/nodejs/http-parser/pull/76.
it.each(['999999999999999', '2199023255553', '99999999999999999999'])(
  'a size of %s bytes is no image, and the other members serve',
  async (size) => {
    await using huge = await MisbehavingServer.start(site.served, 'size-said');
    huge.saidSize = size;
    await using daemon = await site.mount(['--allow-unverified'], [huge.url, ...site.urls()]);
    await expectWhole(fileIn(daemon), site.served);
    expect((await daemon.status()).members[0]?.state).not.toBe('up');
  },
);

// What cannot be the size of a file is no answer to how long it is, and a digest tells that.
it.each(['99999999999999999999', '0', '-1', '12', '1e9', '0x1000'])(
  'with a digest, a size of %s bytes is none, and the bytes are used',
  async (size) => {
    await using odd = await MisbehavingServer.start(site.served, 'size-said');
    odd.saidSize = size;
    odd.sidecar = readFileSync(`${site.fileOf(0)}.fsverity`);
    await using daemon = await site.mount(['--digest', site.digest], [odd.url]);
    await expectWhole(fileIn(daemon), site.served);
    expect((await daemon.status()).members).toMatchObject([{ state: 'up', errors: {} }]);
  },
);

it('what a server says is no command to a terminal', async () => {
  await using server = await MisbehavingServer.start(site.served, 'redirect');
  server.location = '/\u009b31m';
  const mounting = Daemon.launch({
    urls: [server.url],
    mountpoint: site.newMountpoint(),
    options: ['--allow-unverified', '--mount-timeout', '1'],
  });
  await mounting.ended;
  expect(mounting.log).toContain('redirects (status 302)');
  expect(mounting.log).toMatch(/^[\n\x20-\x7e\u00a0-\uffff]*$/);
});

it('a digest of half an image is refused, and says why', async () => {
  const half = site.plain.subarray(0, site.plain.length >> 1);
  const builder = new VerityBuilder();
  builder.update(half);
  const { sidecar, digest } = builder.finish();
  await using server = await MisbehavingServer.start(half);
  server.sidecar = sidecar;
  const mounting = Daemon.launch({
    urls: [server.url],
    mountpoint: site.newMountpoint(),
    options: ['--digest', digest],
  });
  expect(await mounting.ended).toBe(1);
  expect(mounting.log).toMatch(/^tetherfs: .*cut off/m);
  expect(mounting.log).not.toContain('defect');
});
