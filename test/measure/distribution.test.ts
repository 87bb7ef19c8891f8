/** What is said of samples is what the samples say. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { distributionOf, distributionSchema } from '../../src/measure/distribution.ts';

const samples = fc.array(fc.double({ min: 0.01, max: 1e5, noNaN: true }), { minLength: 1, maxLength: 300 });

test('a quantile is the smallest sample that at least its share do not exceed, and lies in its interval', () => {
  fc.assert(
    fc.property(samples, (all) => {
      const found = distributionOf(all);
      for (const [share, quantile] of [
        [0.5, found.p50],
        [0.9, found.p90],
        [0.99, found.p99],
        [0.999, found.p999],
      ] as const) {
        if (quantile === null) {
          expect(all.length * (1 - share)).toBeLessThan(1);
          continue;
        }
        const { value, low, high } = quantile;
        expect(all).toContain(value);
        const notAbove = (limit: number) => all.filter((one) => one <= limit).length / all.length;
        expect(notAbove(value)).toBeGreaterThanOrEqual(share - 1e-12);
        const below = Math.max(...all.filter((one) => one < value), Number.NEGATIVE_INFINITY);
        expect(notAbove(below)).toBeLessThan(share);
        expect(low).toBeLessThanOrEqual(value);
        expect(high).toBeGreaterThanOrEqual(value);
      }
      expect(found.least).toBe(Math.min(...all));
      expect(found.most).toBe(Math.max(...all));
      distributionSchema.parse(found);
    }),
  );
});

test('the histogram holds each sample once, within an eighth of an octave', () => {
  fc.assert(
    fc.property(samples, (all) => {
      const { histogram } = distributionOf(all);
      const left = [...all].sort((a, b) => a - b);
      for (const { from, count } of histogram) {
        for (const one of left.splice(0, count)) {
          expect(one).toBeGreaterThanOrEqual(from * (1 - 1e-5));
          expect(one).toBeLessThan(from * 2 ** (1 / 8) * (1 + 1e-5));
        }
      }
      expect(left).toEqual([]);
    }),
  );
});

/** The same by really drawing. */
function drawn(sorted: readonly number[], share: number, draws: number): [low: number, high: number] {
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const m = Math.ceil(share * sorted.length);
  const found = Array.from({ length: draws }, () => {
    const one = sorted.map(() => sorted[Math.floor(random() * sorted.length)] ?? 0).sort((a, b) => a - b);
    return one[m - 1] ?? 0;
  }).sort((a, b) => a - b);
  return [found[Math.floor(draws * 0.025)] ?? 0, found[Math.floor(draws * 0.975)] ?? 0];
}

test.each([10, 100, 1_000])('the interval is what resampling %d samples comes to', (count) => {
  // The samples are their own ranks: an interval's ends are, too.
  const ranks = Array.from({ length: count }, (_, i) => i + 1);
  const { p50, p90 } = distributionOf(ranks);
  for (const [share, { low, high }] of [
    [0.5, p50],
    [0.9, p90],
  ] as const) {
    const [lowDrawn, highDrawn] = drawn(ranks, share, 2_000);
    const tolerance = Math.max(1, count / 100);
    expect(Math.abs(low - lowDrawn)).toBeLessThanOrEqual(tolerance);
    expect(Math.abs(high - highDrawn)).toBeLessThanOrEqual(tolerance);
  }
});

test('a hundred thousand samples take no longer than a moment, and their interval is narrow', () => {
  const { p50 } = distributionOf(Array.from({ length: 100_000 }, (_, i) => i + 1));
  // ± 1.96 standard deviations of the rank: 1.96 * sqrt(n) / 2
  expect(p50.low).toBeCloseTo(50_000 - 310, -1.5);
  expect(p50.high).toBeCloseTo(50_000 + 310, -1.5);
});

test('without a sample there is no distribution', () => {
  expect(() => distributionOf([])).toThrow(RangeError);
});
