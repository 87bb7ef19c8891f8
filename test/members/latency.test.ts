import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hedgeAfter, stallAfter } from '../../src/members/deadlines.ts';
import { LatencyWindow, SpeedEstimate } from '../../src/members/latency.ts';

const ms = fc.double({ min: 0.01, max: 60_000, noNaN: true });

test('a quantile is that of the last samples, whatever came before', () => {
  fc.assert(
    fc.property(
      fc.array(ms, { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 20 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (samples, capacity, q) => {
        const window = new LatencyWindow(capacity);
        for (const sample of samples) window.record(sample);
        const last = samples.slice(-capacity);
        const found = window.quantile(q);
        if (found === undefined) return false;
        const atMost = last.filter((sample) => sample <= found).length;
        const below = last.filter((sample) => sample < found).length;
        // the smallest that at least the share q does not exceed
        return last.includes(found) && atMost >= q * last.length && (below < q * last.length || below === 0);
      },
    ),
  );
});

test('an empty window has no quantiles, and deadlines of its own', () => {
  const window = new LatencyWindow();
  expect(window.quantile(0.99)).toBeUndefined();
  expect(stallAfter(window)).toBe(1_000);
  expect(hedgeAfter(window)).toBe(50);
});

test('late comes before stalled, and no stall is called within a member’s own p99', () => {
  fc.assert(
    fc.property(fc.array(ms, { minLength: 1, maxLength: 128 }), (samples) => {
      const window = new LatencyWindow();
      for (const sample of samples) window.record(sample);
      const p99 = window.quantile(0.99) ?? 0;
      return (
        stallAfter(window) >= 50 && stallAfter(window) >= 1.5 * p99 && stallAfter(window) <= Math.max(150, 1.5 * p99)
      );
    }),
  );
});

test('expected time grows with the queue, and an old estimate loses its weight', () => {
  const speed = new SpeedEstimate();
  speed.recordLatency(10, 0, true);
  speed.requestBegan(-1_010);
  speed.bytesReceived(1_000_000, 0);
  expect(speed.expectedMs(1_000, 0, 0)).toBeCloseTo(11);
  expect(speed.expectedMs(1_000, 9_000, 0)).toBeCloseTo(20);
  expect(speed.expectedMs(1_000, 0, 3_000)).toBeCloseTo(5.5);
});

test('the untried member is tried before one known to be slow', () => {
  const slow = new SpeedEstimate();
  slow.recordLatency(20, 0, true);
  expect(new SpeedEstimate().expectedMs(65_536, 0, 0)).toBeLessThan(slow.expectedMs(65_536, 0, 0));
});

test('waiting behind other answers counts for the deadlines, not for the expected time', () => {
  const speed = new SpeedEstimate();
  speed.recordLatency(2, 0, true);
  speed.recordLatency(80, 0, false);
  expect(speed.latencyMs).toBe(2);
  expect(speed.window.quantile(0.99)).toBe(80);
});

test('a member that is back counts as untried but for what its probe took, however slow it was when it failed', () => {
  const speed = new SpeedEstimate();
  speed.recordLatency(500, 0, true);
  speed.requestBegan(0);
  speed.bytesReceived(1_000, 5_000);
  speed.requestEnded(5_000);
  expect(speed.expectedMs(65_536, 0, 5_000)).toBeGreaterThan(4_000);
  speed.recordLatency(200, 5_990, true);
  speed.restart(6_000);
  const untried = new SpeedEstimate();
  untried.recordLatency(200, 6_000, true);
  expect(speed.expectedMs(65_536, 0, 6_000)).toBe(untried.expectedMs(65_536, 0, 6_000));
});

test('who is late counts as twice as late each time, until an answer tells', () => {
  const speed = new SpeedEstimate();
  speed.recordLatency(2, 0, true);
  speed.late(20, 100);
  expect(speed.latencyMs).toBe(20);
  speed.late(20, 200);
  expect(speed.latencyMs).toBe(40);
  // behind others: it takes no longer than that
  speed.recordLatency(30, 300, false);
  expect(speed.latencyMs).toBe(30);
  speed.recordLatency(2, 400, true);
  expect(speed.latencyMs).toBe(2);
  for (let i = 0; i < 30; i++) speed.late(20, 500);
  expect(speed.latencyMs).toBeLessThanOrEqual(10_000);
});

test('what waits for one reason counts once: a machine that stands still for a moment has many requests late', () => {
  const speed = new SpeedEstimate();
  speed.recordLatency(2, 0, true);
  for (let i = 0; i < 16; i++) speed.late(200 + i, 1_000 + i);
  expect(speed.latencyMs).toBe(215);
  speed.late(100, 1_200);
  expect(speed.latencyMs).toBe(430);
});

test.each([
  ['late', (speed: SpeedEstimate, now: number) => speed.late(500, now)],
  [
    'crawling',
    (speed: SpeedEstimate, now: number) => {
      speed.requestBegan(now - 500);
      speed.crawls(now);
      speed.requestEnded(now);
    },
  ],
  [
    'dripping',
    (speed: SpeedEstimate, now: number) => {
      speed.requestBegan(now - 900);
      for (const ago of [600, 300, 0]) speed.bytesReceived(1, now - ago);
      speed.requestEnded(now);
    },
  ],
])(
  'a member that was %s again and again is preferred to the quickest within half a minute: it may be well again',
  (_, suffer) => {
    const quick = new SpeedEstimate();
    const slow = new SpeedEstimate();
    for (let now = 1_000; now <= 20_000; now += 1_000) suffer(slow, now);
    for (let now = 20_000; now <= 52_000; now += 10) {
      quick.recordLatency(0.2, now, true);
      if (slow.expectedMs(262_144, 0, now) < quick.expectedMs(262_144, 0, now)) return;
    }
    expect.unreachable(`${slow.expectedMs(262_144, 0, 52_000)} ms are expected`);
  },
);

test('what is known of members tells them apart also when nobody has read for long', () => {
  const [near, far] = [new SpeedEstimate(), new SpeedEstimate()];
  near.recordLatency(1, 0, true);
  far.recordLatency(20, 10, true);
  expect(near.expectedMs(65_536, 0, 3_600_000)).toBeLessThan(far.expectedMs(65_536, 0, 3_600_000) / 5);
});

test('an answer that crawls counts at once, and never for the better', () => {
  const speed = new SpeedEstimate();
  speed.requestBegan(0);
  expect(speed.bytesReceived(10_000_000, 101)).toBeUndefined();
  speed.requestEnded(101);
  const usual = speed.throughput;
  speed.requestBegan(1_000);
  speed.bytesReceived(20_000, 1_040);
  speed.crawls(1_041);
  expect(speed.throughput).toBeLessThan(usual / 50);
  const slow = speed.throughput;
  speed.bytesReceived(200_000, 1_042);
  speed.crawls(1_042);
  expect(speed.throughput).toBeLessThanOrEqual(slow);
});

test('a member that has begun an answer and delivers nothing gets expectations that are long, not endless', () => {
  const speed = new SpeedEstimate();
  speed.recordLatency(1, 0, true);
  speed.requestBegan(0);
  speed.crawls(500);
  const atOnce = speed.expectedMs(65_536, 0, 500);
  expect(atOnce).toBeGreaterThan(1_000);
  expect(atOnce).toBeLessThan(60_000);
  expect(speed.expectedMs(65_536, 0, 60_000)).toBeLessThan(1_000);
});
