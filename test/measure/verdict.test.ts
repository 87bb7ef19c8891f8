/** Who is called slow: not who differs by chance, or by little. */
import { describe, expect, test } from 'vitest';
import { distributionOf } from '../../src/measure/distribution.ts';
import { carefulPlan, type Report, worseMembers } from '../../src/measure/index.ts';

type Member = Report['members'][number];

/** A member whose ranges of 4 KiB take these times, in ms; with stretches of throughput, in bytes. */
function member(url: string, times: readonly number[], series: readonly number[] = []): Member {
  const firstByte = times.length === 0 ? null : distributionOf(times);
  const ranges = [{ size: 4_096, depth: 1, loaded: false, firstByte, whole: firstByte, ownLoad: 0 }];
  const bytes = series.reduce((sum, one) => sum + one, 0);
  const [ms, everyMs] = [series.length * 20, 20];
  const throughput = [
    { connections: carefulPlan.parallel, bytes, ms, rate: bytes / ms, everyMs, series: [...series], ownLoad: 0 },
  ];
  return { url, imageSize: 1, leftOut: null, setUp: null, ranges, throughput, errors: [] };
}

/** About `ms`, as times are. */
const about = (ms: number, samples = 100) => Array.from({ length: samples }, (_, i) => ms * (1 + (i % 10) / 20));
const named = (...members: Member[]) => worseMembers({ members, plan: carefulPlan }).map(({ url }) => url);

describe('times', () => {
  test.each([
    ['the same', about(1), []],
    ['a third more', about(1.33), []],
    ['twice as much', about(2), ['other']],
    ['twice as much of hardly anything', about(0.2), []],
    ['twice as much, of few samples', about(2, 5), []],
    ['as often quick as slow', [...about(1), ...about(30)], []],
    ['nothing', [], []],
  ])('%s', (what, times, expected) => {
    const best = member('best', about(what.endsWith('anything') ? 0.1 : 1));
    expect(named(best, member('other', times))).toEqual(expected);
  });

  test('the worst is first, each is named once, by what is worst', () => {
    const quick = Array(20).fill(2_000_000);
    const members = [
      member('a', about(1), quick),
      member('b', about(4), Array(20).fill(1_000_000)),
      member('c', about(20), quick),
    ];
    const found = worseMembers({ members, plan: carefulPlan });
    expect(found.map(({ url, what }) => [url, what])).toEqual([
      ['c', 'first byte of 4 KiB'],
      ['b', 'first byte of 4 KiB'],
    ]);
    expect(found[0]).toMatchObject({ best: { url: 'a' }, factor: 20 });
  });
});

test('a rate is judged by its stretches of time', () => {
  const steady = (bytes: number, count = 20) => [...Array(count).fill(bytes), 10];
  const of = (series: number[]) => named(member('best', [], steady(2_000_000)), member('other', [], series));
  expect(of(steady(1_900_000))).toEqual([]);
  expect(of(steady(1_000_000))).toEqual(['other']);
  // Too few to tell, and both at times as quick as the other.
  expect(of(steady(1_000_000, 5))).toEqual([]);
  expect(of([...steady(500_000, 10), ...steady(2_000_000, 10)])).toEqual([]);
});
