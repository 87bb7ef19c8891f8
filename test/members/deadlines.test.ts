import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crawlsAfter, hedgeAfter, stallAfter } from '../../src/members/deadlines.ts';
import { LatencyWindow } from '../../src/members/latency.ts';

const samples = fc.array(fc.double({ min: 0.1, max: 500, noNaN: true }), { minLength: 1, maxLength: 128 });

function windowOf(times: readonly number[]): LatencyWindow {
  const window = new LatencyWindow();
  for (const ms of times) window.record(ms);
  return window;
}

test('of what is usual at most one answer in fifty is hedged', () => {
  fc.assert(
    fc.property(samples, (times) => {
      const after = hedgeAfter(windowOf(times));
      expect(times.filter((ms) => ms > after).length).toBeLessThanOrEqual(times.length / 50);
    }),
  );
});

test('what stalls has been late for long, and a hedge was due at first', () => {
  const quick = windowOf(Array.from({ length: 128 }, () => 2));
  expect(hedgeAfter(quick)).toBeLessThan(stallAfter(quick));
});

test('an answer does not crawl before a late first byte would be hedged, nor within four times the usual', () => {
  fc.assert(
    fc.property(samples, fc.double({ min: 0, max: 1_000, noNaN: true }), (times, usualMs) => {
      const window = windowOf(times);
      const after = crawlsAfter(window, usualMs);
      expect(after).toBeGreaterThanOrEqual(hedgeAfter(window));
      expect(after).toBeGreaterThanOrEqual(4 * usualMs);
    }),
  );
});
