/** Two reports: what differs by more than noise is told, nothing else. */
import { expect, test } from 'vitest';
import { compareReports, renderComparison } from '../../src/measure/index.ts';
import { about, memberWith, reportOf, steady } from './reports.ts';

test('what did not change is not told', () => {
  const [before, after] = [
    reportOf(memberWith('http://a/x', about(1))),
    reportOf(memberWith('http://a/x', about(1.05))),
  ];
  // Certain, and of no importance.
  expect(compareReports(before, after)).toEqual({ differences: [], compared: 6, onlyBefore: [], onlyAfter: [] });
  expect(compareReports(before, before).differences).toEqual([]);
});

test('by chance one run is unlike the other: few samples tell nothing', () => {
  const [before, after] = [
    reportOf(memberWith('http://a/x', [1, 1.1, 1.2])),
    reportOf(memberWith('http://a/x', [2, 2.1, 2.2])),
  ];
  expect(compareReports(before, after).compared).toBe(0);
});

test('worse and better, the largest first; members that came and went', () => {
  const before = reportOf(
    memberWith('http://a/x', about(1), steady(1_000_000)),
    memberWith('http://b/x', about(10), steady(1_000_000)),
    memberWith('http://gone/x', about(1)),
  );
  const after = reportOf(
    memberWith('http://a/x', about(3), steady(2_000_000)),
    memberWith('http://b/x', about(2), steady(250_000)),
    memberWith('http://new/x', about(1)),
  );
  const found = compareReports(before, after);
  expect(found.onlyBefore).toEqual(['http://gone/x']);
  expect(found.onlyAfter).toEqual(['http://new/x']);
  const first = found.differences.filter(({ what }) => /p50|throughput/.test(what));
  expect(first.map(({ url, what, worse }) => [url, what, worse])).toEqual([
    ['http://b/x', 'first byte of 4 KiB x 1, p50', false],
    ['http://b/x', 'whole 4 KiB x 1, p50', false],
    ['http://b/x', 'throughput of 8 connections', true],
    ['http://a/x', 'first byte of 4 KiB x 1, p50', true],
    ['http://a/x', 'whole 4 KiB x 1, p50', true],
    ['http://a/x', 'throughput of 8 connections', false],
  ]);
  const text = renderComparison(found, before);
  expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
  expect(text).toMatch(
    /^Against n1, 2026-01-01T00:00:00Z: of 14 figures 7 are worse by more than noise,\n7 better\.$/m,
  );
  expect(text).toMatch(/^b +throughput of 8 connections +50 MB\/s +12\.5 MB\/s +4$/m);
  expect(text).toMatch(/^member +better /m);
  expect(text).toContain('gone was measured then, not now.');
  expect(text).toContain('new is measured now, and was not then.');
});
