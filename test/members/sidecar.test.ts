/** A small file beside the image, asked for while the members serve. */
import { expect, test } from 'vitest';
import type { Sidecar } from '../../src/members/index.ts';
import { waitUntil } from '../support/wait-until.ts';
import { MisbehavingServer } from './misbehaving-server.ts';
import { chunkSize, makeImage, Site } from './site.ts';

const image = makeImage(4 * chunkSize);

const trace: Sidecar<string> = {
  suffix: '.trace',
  maxBytes: 1 << 20,
  accept(bytes) {
    const text = Buffer.from(bytes).toString();
    if (text !== 'tree') throw new Error('this is no tree');
    return text;
  },
};

test('comes from whoever has a valid one, and leaves the members as they are', async () => {
  await using none = await MisbehavingServer.start(image);
  none.sidecar = undefined;
  await using wrong = await MisbehavingServer.start(image);
  wrong.sidecar = Buffer.from('weed');
  await using right = await MisbehavingServer.start(image);
  const servers = [none, wrong, right];
  await using site = await Site.open(
    image,
    servers.map(({ url }) => url),
  );
  await waitUntil('all are up', () => site.collective.status().members.every(({ state }) => state === 'up'));
  expect(await site.collective.sidecar(trace)).toEqual({ accepted: 'tree' });
  expect(site.collective.status().members.map(({ state, errors }) => [state, errors])).toEqual(
    servers.map(() => ['up', {}]),
  );
  await site.read({ offset: 0, length: image.length });
});

test('that nobody has: every member’s reason, for good', async () => {
  await using one = await MisbehavingServer.start(image);
  await using two = await MisbehavingServer.start(image);
  one.sidecar = two.sidecar = undefined;
  await using site = await Site.open(image, [one.url, two.url]);
  const reason = 'rootimg.sfs.trace answers with status 404: no such file there: is the path right?';
  expect(await site.collective.sidecar(trace)).toEqual({
    refusals: new Map([
      [one.url, reason],
      [two.url, reason],
    ]),
    final: true,
    missing: true,
  });
});

test('one member named twice answers for both', async () => {
  await using server = await MisbehavingServer.start(image);
  server.sidecar = undefined;
  await using site = await Site.open(image, [server.url, server.url]);
  expect(await site.collective.sidecar(trace)).toMatchObject({ final: true });
});

test('a member that is late is hung up on when another has it', async () => {
  await using late = await MisbehavingServer.start(image);
  await using quick = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [late.url, quick.url]);
  await waitUntil('both are up', () => site.collective.status().members.every(({ state }) => state === 'up'));
  const { connections, open } = late;
  late.delayMs = 60_000;
  expect(await site.collective.sidecar(trace)).toEqual({ accepted: 'tree' });
  expect(late.connections).toBe(connections + 1);
  await waitUntil('its connection is closed', () => late.open <= open);
});

test('is given up when the members are not needed any more', async () => {
  await using server = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [server.url]);
  server.delayMs = 60_000;
  const found = site.collective.sidecar(trace);
  await waitUntil('it was asked', () => server.open > 1);
  site.collective.rest();
  expect(await found).toMatchObject({ final: false });
  await waitUntil('all is closed', () => server.open === 0);
  server.delayMs = 0;
  expect(await site.collective.sidecar(trace)).toEqual({ accepted: 'tree' });
  await site.collective.close();
  expect(await site.collective.sidecar(trace)).toMatchObject({ final: false });
});

test('the collective is busy while its members answer distinctly slower than usual', async () => {
  await using server = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [server.url]);
  const read = () => site.read({ offset: 0, length: chunkSize }, { priority: 'prefetch' });
  const isBusy = (busy: boolean) => async () => {
    await read();
    return site.collective.busy === busy;
  };
  await waitUntil('it knows how fast the member is', isBusy(false));
  // shorter than what counts as a stall
  server.delayMs = 40;
  await waitUntil('it is busy', isBusy(true));
  server.delayMs = 0;
  await waitUntil('it is not busy any more', isBusy(false));
});

test('is not taken when its first bytes say that it cannot be the one', async () => {
  await using server = await MisbehavingServer.start(image);
  server.sidecar = Buffer.alloc(64 << 20);
  await using site = await Site.open(image, [server.url]);
  const judge = {
    headBytes: 256,
    lengthBy: (head: Uint8Array) => {
      if (head[0] !== 1) throw new Error('it is of no version that is known');
      return 300;
    },
  };
  const received = () => site.collective.status().members[0]?.bytes;
  const before = received();
  const asked = { ...trace, maxBytes: 128 << 20, judge };
  expect(await site.collective.sidecar(asked)).toEqual({
    refusals: new Map([[server.url, 'it is of no version that is known']]),
    final: true,
    missing: false,
  });
  // Who passes at first is held to what it has said of itself.
  server.sidecar = Buffer.concat([Buffer.from([1]), Buffer.alloc(300)]);
  expect(await site.collective.sidecar(asked)).toMatchObject({
    refusals: new Map([[server.url, 'rootimg.sfs.trace is longer than 300 bytes']]),
  });
  expect(received()).toBe(before);
});

test('comes whole also when it comes a byte at a time', async () => {
  await using server = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [server.url]);
  const sent = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, index) => index % 251));
  server.sidecar = sent;
  server.behaviour = 'byte-by-byte';
  const found = await site.collective.sidecar({ ...trace, accept: (bytes) => Buffer.from(bytes).equals(sent) });
  expect(found).toEqual({ accepted: true });
});
