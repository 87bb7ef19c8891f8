/** One fetch by itself, where what it meets cannot be had from a server. */
import { expect, test } from 'vitest';
import { parseFileUrl } from '../../src/base/file-url.ts';
import { systemTime } from '../../src/base/time-source.ts';
import type { MemberFault } from '../../src/members/errors.ts';
import { type FetchWorld, HedgedFetch } from '../../src/members/fetch.ts';
import { HedgeBudget } from '../../src/members/hedge-budget.ts';
import { Member } from '../../src/members/member.ts';
import { memberUrl } from '../../src/members/member-url.ts';
import { waitUntil } from '../support/wait-until.ts';
import { MemoryTarget } from './memory-target.ts';
import { MisbehavingServer } from './misbehaving-server.ts';
import { chunkSize, makeImage, Site } from './site.ts';

const image = makeImage(4 * chunkSize);

test('an attempt that fails before it has begun is a fault like any other', async () => {
  await using server = await MisbehavingServer.start(image);
  const member = new Member(memberUrl(parseFileUrl(server.url)), systemTime, undefined);
  // What it takes first can no more be asked.
  const dead = member.pool.takeFresh();
  member.pool.giveBack(dead);
  dead.destroy();
  const faults: MemberFault[] = [];
  const world: FetchWorld = {
    imageSize: image.length,
    time: systemTime,
    budget: new HedgeBudget(),
    pick: (_bytes, except) => (except.includes(member) ? undefined : member),
    onFault: (_member, fault) => faults.push(fault),
    onDelivered: () => {},
    refusal: () => undefined,
    hopeless: () => undefined,
    wait: () => {},
    onDrained: () => {},
    onSettled: () => {},
  };
  const span = { offset: 0, length: chunkSize };
  const target = new MemoryTarget({ span, chunkSize });
  const fetch = new HedgedFetch('demand', target, world);
  fetch.advance();
  await target.attach(fetch);
  expect(Buffer.compare(target.bytes, image.subarray(0, chunkSize))).toBe(0);
  expect(faults.map(({ kind }) => kind)).toEqual(['connect']);
  expect(member.requests).toBe(2);
  member.pool.close();
});

test.each(['write', 'close'] as const)(
  'what is thrown at a %s is our own defect: it is reported, no member is blamed, and the fetch goes on',
  async (step) => {
    await using server = await MisbehavingServer.start(image);
    const defects: unknown[] = [];
    await using site = await Site.open(image, [server.url], { onDefect: (error) => defects.push(error) });
    const span = { offset: 0, length: chunkSize };
    const target = new MemoryTarget({ span, chunkSize });
    const error = new RangeError('of ours');
    const open = target.open.bind(target);
    target.open = (range, verdict) => {
      const sink = open(range, verdict);
      if (defects.length > 0 || sink === undefined) return sink;
      return {
        ...sink,
        [step]: () => {
          if (step === 'close') sink.close();
          throw error;
        },
      };
    };
    await target.attach(site.collective.fetch(span, 'demand', target));
    expect(Buffer.compare(target.bytes, image.subarray(0, chunkSize))).toBe(0);
    expect(defects).toEqual([error]);
    expect(site.member(server.url)).toMatchObject({ state: 'up', reason: '', errors: { defect: 1 } });
    await waitUntil('nothing is under way', () => site.member(server.url).inFlight === 0);
  },
);
