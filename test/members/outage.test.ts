/** Members that die, stand still and come back: real servers, under reads that must neither fail nor wait for long. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { errorCode } from '../../src/base/errors.ts';
import { Lag } from '../support/lag.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { MisbehavingServer } from './misbehaving-server.ts';
import { chunkSize, makeImage, Site } from './site.ts';

const image = makeImage(40 * chunkSize);
const temp = makeTempDir('members-outage');
afterAll(() => temp.remove());
mkdirSync(join(temp.path, 'os/demo'), { recursive: true });
writeFileSync(join(temp.path, 'os/demo/rootimg.sfs'), image);

const start = (address: string) => Nginx.start({ address, publicDir: temp.path });
const path = 'os/demo/rootimg.sfs';
/** A read of anything must be over by then while a member is well; the promise is 250 ms, and `npm run bench:faults` measures it. */
const longestWaitMs = 1_000;

async function timed(read: Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await read;
  return performance.now() - begun;
}

describe('one of two members', () => {
  test.each(['kill', 'stop'] as const)(
    '%s: reads go on at once, and it is used again when it is back',
    async (accident) => {
      await using first = await start('127.0.42.1');
      await using second = await start('127.0.42.2');
      await using site = await Site.open(image, [first.url(path), second.url(path)]);
      await waitUntil('both are up', () => site.collective.status().members.every(({ state }) => state === 'up'));
      await site.readUntil('both serve', () => site.collective.status().members.every(({ bytes }) => bytes > 0));

      await first[accident]();
      using lag = new Lag();
      const waits: number[] = [];
      for (let chunk = 0; chunk < 40; chunk++) {
        waits.push(await timed(site.read({ offset: chunk * chunkSize, length: chunkSize })));
      }
      expect(Math.max(...waits) - lag.longest).toBeLessThan(longestWaitMs);

      if (accident === 'kill') await first.restart();
      else first.cont();
      await waitUntil('it is up again', () => site.member(first.url(path)).state === 'up', { timeoutMs: 10_000 });
      const { bytes } = site.member(first.url(path));
      await site.readUntil('it serves again', () => site.member(first.url(path)).bytes > bytes);
    },
  );
});

describe('members that answer probes and let every read hang', () => {
  test.each(['stall-head', 'stall-body'] as const)('%s: with eio the read fails, in its time', async (behaviour) => {
    await using first = await MisbehavingServer.start(image);
    await using second = await MisbehavingServer.start(image);
    await using site = await Site.open(image, [first.url, second.url], { onOutage: { mode: 'eio', timeoutMs: 1_500 } });
    first.beyondEnds = second.beyondEnds = behaviour;
    const read = site.read({ offset: 20 * chunkSize, length: chunkSize });
    await expect(read).rejects.toMatchObject({
      code: 'OUTAGE',
      message: expect.stringMatching(/^nothing has come for/),
    });
  });
});

describe('every member out', () => {
  test('the line that says so has room for all of them, whatever each says', async () => {
    await using first = await MisbehavingServer.start(image);
    await using second = await MisbehavingServer.start(image);
    await using third = await MisbehavingServer.start(image);
    const servers = [first, second, third];
    await using site = await Site.open(
      image,
      servers.map(({ url }) => url),
    );
    for (const server of servers) {
      server.location = `http://127.0.0.1/${'long/'.repeat(100)}`;
      server.behaviour = 'redirect';
    }
    await expect(site.read({ offset: 0, length: chunkSize }, { priority: 'prefetch' })).rejects.toThrow();
    const [line = ''] = site.lines.filter((one) => one.includes('no member is usable'));
    for (const { url } of servers) expect(line).toContain(url);
    expect(line.length).toBeLessThan(900);
  });

  test('demand waits and ends soon after the first is back; prefetch is told at once; the log says it once', async () => {
    await using first = await start('127.0.42.3');
    await using second = await start('127.0.42.4');
    await using site = await Site.open(image, [first.url(path), second.url(path)]);
    await site.read({ offset: 0, length: chunkSize });
    await Promise.all([first.kill(), second.kill()]);

    let over = false;
    const waiting = site.read({ offset: chunkSize, length: chunkSize }).then(() => {
      over = true;
    });
    await waitUntil('the outage is seen', () => site.collective.status().outageMs > 0);
    const prefetch = site.read({ offset: 0, length: chunkSize }, { priority: 'prefetch' });
    await expect(prefetch).rejects.toMatchObject({ code: 'OUTAGE' });
    await waitUntil('it lasts', () => site.collective.status().outageMs > 1_500);
    expect(over).toBe(false);
    await second.restart();
    using lag = new Lag();
    expect((await timed(waiting)) - lag.longest).toBeLessThan(longestWaitMs);
    expect(site.collective.status()).toMatchObject({ outageMs: 0, demandInFlight: 0 });
    const errors = site.lines.filter((line) => line.startsWith('error'));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(first.url(path));
    expect(errors[0]).toContain(second.url(path));
  });

  test('with an outage time-out, demand fails when it is over, and later demand at once', async () => {
    await using server = await start('127.0.42.5');
    const onOutage = { mode: 'eio', timeoutMs: 600 } as const;
    await using site = await Site.open(image, [server.url(path)], { onOutage });
    await server.kill();
    const begun = performance.now();
    const read = () => site.read({ offset: 0, length: chunkSize });
    await expect(read()).rejects.toMatchObject({ code: 'OUTAGE' });
    // The time-out itself, in whole ms: never before it.
    expect(performance.now() - begun).toBeGreaterThan(599);
    await expect(read()).rejects.toMatchObject({ code: 'OUTAGE' });
    await server.restart();
    await waitUntil('it is up', () => site.collective.status().outageMs === 0);
    await read();
  });

  test('one that breaks every connection is out, too, however many readers ask it', async () => {
    await using server = await MisbehavingServer.start(image);
    await using site = await Site.open(image, [server.url], { onOutage: { mode: 'eio', timeoutMs: 500 } });
    server.behaviour = 'reset';
    const reads: Promise<unknown>[] = [];
    for (let reader = 0; reader < 40; reader++) {
      reads.push(site.read({ offset: reader * chunkSize, length: chunkSize }, { blind: true }).catch(errorCode));
      // One after the other, so that there is never a moment without a fault.
      await sleep(12);
    }
    expect(new Set(await Promise.all(reads))).toEqual(new Set(['OUTAGE']));
  });

  test('the only member stands still for a while: the read ends on it', async () => {
    await using server = await start('127.0.42.6');
    await using site = await Site.open(image, [server.url(path)]);
    await server.stop();
    const read = site.read({ offset: 0, length: 4 * chunkSize });
    await waitUntil('the outage is seen', () => site.collective.status().outageMs > 0);
    server.cont();
    using lag = new Lag();
    expect((await timed(read)) - lag.longest).toBeLessThan(longestWaitMs);
  });
});

test('reads that only a dripping member was left for go on as soon as another is back', {
  timeout: 30_000,
}, async () => {
  await using dripping = await MisbehavingServer.start(image);
  await using good = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [dripping.url, good.url]);
  await waitUntil('both are up', () => site.collective.status().members.every(({ state }) => state === 'up'));
  dripping.behaviour = 'drip';
  await site.readUntil('it is known to crawl', () => site.member(dripping.url).throughput < 100_000, { blind: true });
  good.behaviour = 'unavailable';
  const reads = [0, 8, 16, 24, 32].map((chunk) => site.read({ offset: chunk * chunkSize, length: 8 * chunkSize }));
  await waitUntil('all wait for the one that drips', () => {
    return site.member(good.url).state === 'down' && site.member(dripping.url).inFlight >= 5;
  });
  // They look for another, once, and there is none.
  await sleep(1_500);
  good.behaviour = 'good';
  await Promise.all(reads);
});
