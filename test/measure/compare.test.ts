/** Two reports: what differs by more than noise is told, nothing else. */
import { expect, test } from 'vitest';
import { compareReports, renderComparison, renderReport } from '../../src/measure/index.ts';
import { about, memberWith, reportOf, steady } from './reports.ts';

test('what did not change is not told', () => {
  const [before, after] = [
    reportOf(memberWith('http://a/x', about(1))),
    reportOf(memberWith('http://a/x', about(1.05))),
  ];
  // Certain, and of no importance.
  expect(compareReports(before, after)).toEqual({
    differences: [],
    compared: 6,
    tooFew: 0,
    onlyBefore: [],
    onlyAfter: [],
  });
  expect(compareReports(before, before).differences).toEqual([]);
});

test('by chance one run is unlike the other: few samples tell nothing', () => {
  const [before, after] = [
    reportOf(memberWith('http://a/x', [1, 1.1, 1.2])),
    reportOf(memberWith('http://a/x', [2, 2.1, 2.2])),
  ];
  expect(compareReports(before, after)).toMatchObject({ compared: 0, tooFew: 4 });
  expect(renderComparison(compareReports(before, after), before)).toContain('4 more have too few samples');
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
    ['http://b/x', '4 KiB x 1, first byte p50', false],
    ['http://b/x', '4 KiB x 1, whole p50', false],
    ['http://b/x', 'throughput of 8 connections', true],
    ['http://a/x', '4 KiB x 1, first byte p50', true],
    ['http://a/x', '4 KiB x 1, whole p50', true],
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

test('long names and figures fit 80 columns', () => {
  const url = (name: string) => `http://${name}.storage.cluster.example:8080/confluent-public/os/demo/rootimg.sfs`;
  const at = (ms: number) =>
    reportOf(...['one', 'two'].map((name) => memberWith(url(name), about(ms), steady(ms * 77_777))));
  const text = renderComparison(compareReports(at(1234.5), at(0.1234)), at(1));
  expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
  const summary = renderReport(at(0.0512));
  expect(summary.split('\n').filter((line) => line.length > 80)).toEqual([]);
});
