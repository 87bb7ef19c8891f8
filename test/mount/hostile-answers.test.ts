import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Behaviour, MisbehavingServer } from '../members/misbehaving-server.ts';
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
  'changed',
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
