import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BusyRate } from '../../src/members/busy-rate.ts';

/** A link of `bytesPerMs` shared by `requests` at a time, whose bytes we only get round to every `burstMs`. */
function samplesOf(bytesPerMs: number, requests: number, burstMs: number, spanBytes: number): number[] {
  const busy = new BusyRate();
  const samples: number[] = [];
  let now = 0;
  const left: number[] = [];
  for (let step = 0; step < 400; step++) {
    while (left.length < requests) {
      busy.began(now, 0);
      left.push(spanBytes);
    }
    now += burstMs;
    let budget = bytesPerMs * burstMs;
    while (budget > 0 && left.length > 0) {
      const piece = Math.min(left[0] ?? 0, budget);
      const sample = busy.received(piece, now);
      if (sample !== undefined) samples.push(sample);
      budget -= piece;
      left[0] = (left[0] ?? 0) - piece;
      if (left[0] > 0) break;
      left.shift();
      busy.ended(now);
      if (left.length < requests) {
        busy.began(now, 0);
        left.push(spanBytes);
      }
    }
  }
  return samples;
}

test('the rate of a busy link is told right, however many requests share it and however bursty they arrive', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 5_000, max: 100_000 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 20 }),
      (bytesPerMs, requests, burstMs) => {
        const samples = samplesOf(bytesPerMs, requests, burstMs, 524_288);
        const mean = samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
        expect(mean / (bytesPerMs * 1000)).toBeGreaterThan(0.85);
        expect(mean / (bytesPerMs * 1000)).toBeLessThan(1.15);
      },
    ),
  );
});

test('time without work does not count', () => {
  const busy = new BusyRate();
  busy.began(0, 0);
  expect(busy.received(200_000, 40)).toBeUndefined();
  busy.ended(40);
  busy.began(10_000, 0);
  expect(busy.received(200_000, 10_040)).toBeCloseTo(400_000 / 0.08);
});

test('the latency of a request to an idle member does not count', () => {
  const busy = new BusyRate();
  busy.began(0, 20);
  expect(busy.received(300_000, 80)).toBeCloseTo(300_000 / 0.06);
});

test('a member that hardly delivers is sampled all the same', () => {
  const busy = new BusyRate();
  busy.began(0, 0);
  expect(busy.received(1_000, 200)).toBeUndefined();
  expect(busy.received(1_000, 400)).toBeCloseTo(5_000);
});
