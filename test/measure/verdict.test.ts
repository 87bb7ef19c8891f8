/** Who is called slow: not who differs by chance, or by little. */
import { describe, expect, test } from 'vitest';
import { worseMembers } from '../../src/measure/index.ts';
import { about, memberWith as member, reportOf, steady } from './reports.ts';

const named = (...members: Parameters<typeof reportOf>) => worseMembers(reportOf(...members)).map(({ url }) => url);

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
    const found = worseMembers(reportOf(...members));
    expect(found.map(({ url, what }) => [url, what])).toEqual([
      ['c', 'first byte of 4 KiB'],
      ['b', 'first byte of 4 KiB'],
    ]);
    expect(found[0]).toMatchObject({ best: { url: 'a' }, factor: 20 });
  });
});

test('a rate is judged by its stretches of time', () => {
  const of = (series: number[]) => named(member('best', [], steady(2_000_000)), member('other', [], series));
  expect(of(steady(1_900_000))).toEqual([]);
  expect(of(steady(1_000_000))).toEqual(['other']);
  // Too few to tell, and both at times as quick as the other.
  expect(of(steady(1_000_000, 5))).toEqual([]);
  expect(of([...steady(100_000, 5), ...steady(5_000_000, 2)])).toEqual([]);
  // What comes in bursts is as quick as its mean.
  expect(of(Array.from({ length: 41 }, (_, i) => (i % 2 === 0 ? 0 : 3_800_000)))).toEqual([]);
  expect(of([...Array(20).fill(0), 5])).toEqual([]);
});
