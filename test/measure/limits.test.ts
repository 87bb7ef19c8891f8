/** Limits for monitoring: what they take, and who keeps them. */
import { expect, test } from 'vitest';
import { brokenLimits, parseLimit } from '../../src/measure/index.ts';
import { about, memberWith, reportOf, steady } from './reports.ts';

const report = reportOf(memberWith('http://a/x', about(2), steady(2_000_000)));
const broken = (...limits: string[]) => brokenLimits(report, limits.map(parseLimit)).map(({ why }) => why);

test.each([
  ['first-byte=3ms', []],
  ['first-byte=2ms', ['it is 2.4 ms']],
  ['first-byte=2000us', ['it is 2.4 ms']],
  ['first-byte=0.003s', []],
  ['first-byte-p90=2.7 ms', ['it is 2.8 ms']],
  ['throughput-all=99MB/s', ['it is 95.2 MB/s']],
  ['throughput-all=700Mbit/s', []],
  ['throughput-all=1Gbit/s', ['it is 95.2 MB/s']],
  ['errors=0', []],
])('%s: %j', (limit, expected) => {
  expect(broken(limit)).toEqual(expected);
});

test('what is not known is not kept, nor by a member that was left out', () => {
  expect(broken('loaded=1s', 'errors=0')).toEqual(['that is not known: there were too few answers']);
  const gone = { ...memberWith('http://b/x', about(1)), leftOut: 'nothing listens' };
  expect(brokenLimits(reportOf(gone), [parseLimit('errors=5')])).toMatchObject([
    { url: 'http://b/x', why: 'it was left out: nothing listens' },
  ]);
});

test('errors are counted, of all kinds', () => {
  const errors = [
    { kind: 'timeout' as const, count: 2, example: '' },
    { kind: 'reset' as const, count: 1, example: '' },
  ];
  const member = { ...memberWith('http://a/x', about(1)), errors };
  expect(brokenLimits(reportOf(member), [parseLimit('errors=2')])).toMatchObject([{ why: 'it is 3' }]);
  expect(brokenLimits(reportOf(member), [parseLimit('errors=3')])).toEqual([]);
});

test.each([
  ['first-byte', /NAME=LIMIT, such as first-byte-p99=50ms; NAME one of set-up, first-byte/],
  ['latency=5ms', /NAME one of/],
  ['constructor=5ms', /NAME one of/],
  ['first-byte=5', /give first-byte in us, ms, s$/],
  ['first-byte=5MB/s', /give first-byte in us, ms, s$/],
  ['throughput=5ms', /give throughput in kB\/s, MB\/s/],
  ['errors=5ms', /give errors a number$/],
  ['errors=-1', /NAME one of/],
])('%s is refused', (given, why) => {
  expect(() => parseLimit(given)).toThrow(why);
});
