import { truncateSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Status } from '../../src/mount/status.ts';
import type { Daemon } from '../support/daemon.ts';
import { waitUntil } from '../support/wait-until.ts';
import { pseudoRandomBytes } from './pseudo-random.ts';
import { expectNoSlotLost, expectRandomReads, expectWhole, fileIn } from './reading.ts';
import { Site } from './site.ts';

/** Each test's members are slow enough that a fault strikes while they have requests in flight. */
const rate = 'limit_rate_after 64k; limit_rate 2m;';
/** ms. Generous: a stall that is not noticed would last for ever. `npm run bench:faults` has the figures. */
const longestStall = 20_000;

let site: Site;
beforeEach(async () => {
  site = await Site.make({ mebibytes: 16, nginx: { location: rate } });
});
afterEach(() => site[Symbol.asyncDispose]());

function member(status: Status, index: number) {
  const found = status.members[index];
  if (found === undefined) throw new Error(`there is no member ${index}`);
  return found;
}

/** Reads all of the image; `strike` hits the second member when a third has been read. Not one wrong byte, not one error. */
async function readThrough(daemon: Daemon, strike: () => unknown, truth = site.served): Promise<Status> {
  let struck = false;
  await expectWhole(fileIn(daemon), truth, async (offset) => {
    if (struck || offset < truth.length / 3) return;
    struck = true;
    await strike();
  });
  const longest = await expectRandomReads(fileIn(daemon), truth, { count: 200, longest: 100_000, seed: 3, readers: 4 });
  expect(longest).toBeLessThan(longestStall);
  await expectNoSlotLost(daemon);
  const status = await daemon.status();
  expect(status.reads.failed).toBe(0);
  expect(status.reads.longestWaitMs).toBeLessThan(longestStall);
  return status;
}

/** Reads on until the second member has been asked, and is in the state that its answer puts it in. */
async function untilAsked(daemon: Daemon, expected: (state: string) => boolean): Promise<void> {
  let seed = 40;
  await waitUntil('the second member was asked', async () => {
    await expectRandomReads(fileIn(daemon), site.served, { count: 40, longest: 100_000, seed: seed++, readers: 8 });
    return expected(member(await daemon.status(), 1).state);
  });
}

// A small cache, so that chunks are fetched again after the fault.
const verified = () => ['--digest', site.digest, '--cache-size', '4MiB'];

describe('one member of three', () => {
  it('is killed: reading goes on, and it is down', async () => {
    await using daemon = await site.mount(verified());
    await readThrough(daemon, () => site.members[1]?.kill());
    await untilAsked(daemon, (state) => state !== 'up');
    await waitUntil('it is down', async () => member(await daemon.status(), 1).state === 'down');
  });

  it('is stopped: reading goes on, and it is avoided', async () => {
    await using daemon = await site.mount(verified());
    await readThrough(daemon, () => site.members[1]?.stop());
    await untilAsked(daemon, (state) => state !== 'up');
  });

  it('becomes slow: reading goes on, from the others', async () => {
    await using daemon = await site.mount(verified());
    let before = await daemon.status();
    const after = await readThrough(daemon, async () => {
      await site.members[1]?.reload({ location: 'limit_rate 20k;' });
      before = await daemon.status();
    });
    const [first, slow, third] = [0, 1, 2].map((index) => member(after, index).bytes - member(before, index).bytes);
    expect(slow).toBeLessThan(((first ?? 0) + (third ?? 0)) / 2);
  });

  it.each([404, 500, 503])('answers %i: reading goes on, and the log says so once', async (code) => {
    await using daemon = await site.mount(verified());
    await readThrough(daemon, () => site.members[1]?.reload({ location: `return ${code};` }));
    await untilAsked(daemon, (state) => state !== 'up');
    // A reload of nginx may end requests as well: then they are the first reason.
    await waitUntil('it is down for that', async () => {
      const { state, reason, errors } = member(await daemon.status(), 1);
      return state === 'down' && reason.includes(String(code)) && (errors['status'] ?? errors['busy'] ?? 0) > 0;
    });
    await daemon.says(/member is down.*127\.0\.0\.12/);
    expect(daemon.log.match(/member is down.*127\.0\.0\.12/g)).toHaveLength(1);
  });

  it('has its file truncated: reading goes on, and it is stale', async () => {
    await using daemon = await site.mount(verified());
    await readThrough(daemon, () => truncateSync(site.fileOf(1), 5_000_000));
    await untilAsked(daemon, (state) => state !== 'up');
  });

  it('flips bytes: no wrong byte is seen, and it is corrupt until it is right again', async () => {
    await using daemon = await site.mount(verified());
    const flipped = Buffer.from(site.served);
    for (let offset = 777; offset < flipped.length; offset += 10_000)
      flipped.writeUInt8(flipped.readUInt8(offset) ^ 1, offset);
    await readThrough(daemon, () => site.overwrite(1, flipped));
    await untilAsked(daemon, (state) => state === 'corrupt' || state === 'stale');
    const said = daemon.log.match(/member is (?:corrupt|stale) member=\S*127.0.0.12\S*/g) ?? [];
    expect(said).toEqual([...new Set(said)]);
    site.overwrite(1, site.served);
    await waitUntil('it is used again', async () => member(await daemon.status(), 1).state === 'up', {
      timeoutMs: 20_000,
    });
  });

  it('flips bytes from the start: it never serves a reader', async () => {
    const flipped = Buffer.from(site.served);
    for (let offset = 0; offset < flipped.length; offset += 10_000)
      flipped.writeUInt8(flipped.readUInt8(offset) ^ 1, offset);
    site.overwrite(1, flipped);
    await using daemon = await site.mount(verified());
    const status = await readThrough(daemon, () => {});
    expect(member(status, 1).state).toBe('corrupt');
  });

  it('is repacked in place: no byte of the new image is seen', async () => {
    await using daemon = await site.mount(verified());
    await readThrough(daemon, () => site.overwrite(1, pseudoRandomBytes(site.served.length, 99)));
    await untilAsked(daemon, (state) => state === 'stale' || state === 'corrupt');
  });

  it('is repacked in place, and no digest is known: it is stale from the next response on', async () => {
    await using daemon = await site.mount(['--allow-unverified', '--cache-size', '4MiB']);
    // Replaced, not overwritten: a response under way keeps the old file.
    await readThrough(daemon, () => site.replace(1, pseudoRandomBytes(site.served.length, 99)));
    await untilAsked(daemon, (state) => state === 'stale');
  });

  it('serves another image from the start, and no digest is known: the majority is right', async () => {
    writeFileSync(site.fileOf(0), pseudoRandomBytes(site.served.length, 99));
    await using daemon = await site.mount(['--allow-unverified']);
    await expectWhole(fileIn(daemon), site.served);
    // Written this very second, it is not judged before the second is over.
    await waitUntil('it is stale', async () => member(await daemon.status(), 0).state === 'stale');
  });

  it('comes back after it was killed, and gets its share again', async () => {
    await using daemon = await site.mount(verified());
    await readThrough(daemon, () => site.members[1]?.kill());
    await site.members[1]?.restart();
    await waitUntil('it is up', async () => member(await daemon.status(), 1).state === 'up', { timeoutMs: 15_000 });
    const before = member(await daemon.status(), 1).bytes;
    let seed = 5;
    await waitUntil('it delivers again', async () => {
      await expectRandomReads(fileIn(daemon), site.served, { count: 100, longest: 100_000, seed: seed++, readers: 4 });
      return member(await daemon.status(), 1).bytes > before;
    });
  });
});
