import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Health } from '../../src/members/health.ts';
import { faultKinds } from '../../src/members/index.ts';

type Event =
  | { type: 'fault'; kind: (typeof faultKinds)[number] }
  | { type: 'delivered' | 'identified' | 'probeFailed' };
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ type: fc.constant('fault' as const), kind: fc.constantFrom(...faultKinds) }),
  fc.record({ type: fc.constantFrom('delivered' as const, 'identified' as const, 'probeFailed' as const) }),
);
const history = fc.array(fc.tuple(event, fc.integer({ min: 0, max: 20_000 })), { maxLength: 60 });

function up(): Health {
  const health = new Health(0);
  health.identified(0);
  return health;
}

describe('in any history', () => {
  test('only a probe lifts a fence, and a change is reported exactly when there is one', () => {
    fc.assert(
      fc.property(history, (events) => {
        const health = new Health(0);
        let now = 0;
        for (const [event, pause] of events) {
          now += pause;
          const was = health.state;
          let changed = false;
          if (event.type === 'fault') changed = health.fault(event.kind, event.kind, now);
          else if (event.type === 'probeFailed') health.probeFailed();
          else changed = event.type === 'identified' ? health.identified(now) : health.delivered(now, now);
          expect(changed).toBe(health.state !== was);
          if (changed) expect(health.since).toBe(now);
          if (was !== 'up' && health.state === 'up' && was !== 'suspect') expect(event.type).toBe('identified');
          if (was === 'corrupt') expect(['corrupt', 'up']).toContain(health.state);
          expect(health.reason === '').toBe(health.state === 'up');
        }
      }),
    );
  });

  test('the next probe comes within 5 s, in an outage within 4 s, 0.36 s once it has delivered, and never at once', () => {
    fc.assert(
      fc.property(history, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (events, random) => {
        const health = new Health(0);
        let now = 0;
        for (const [event, pause] of events) {
          now += pause;
          if (event.type === 'fault') health.fault(event.kind, 'reason', now);
          else if (event.type === 'probeFailed') health.probeFailed();
          else if (event.type === 'identified') health.identified(now);
          else health.delivered(now, now);
        }
        expect(health.probeDelay(random, false)).toBeGreaterThan(100);
        expect(health.probeDelay(random, false)).toBeLessThanOrEqual(5_000);
        expect(health.probeDelay(random, true)).toBeGreaterThan(100);
        expect(health.probeDelay(random, true)).toBeLessThanOrEqual(4_000);
        health.identified(now);
        health.delivered(now, now);
        health.fault('connect', 'reason', now);
        expect(health.probeDelay(random, true)).toBeLessThanOrEqual(360);
      }),
    );
  });
});

test('three separate breaks in a row take a member down, a burst of them does not', () => {
  const health = up();
  for (let burst = 0; burst < 10; burst++) health.fault('timeout', 'no progress', 1_000 + burst);
  expect(health.state).toBe('suspect');
  health.fault('reset', 'broke', 1_500);
  expect(health.state).toBe('suspect');
  health.fault('reset', 'broke', 2_000);
  expect(health.state).toBe('down');
});

test('breaks that never cease take a member down, however close together they are', () => {
  const health = up();
  for (let now = 1_000; now <= 1_200; now += 5) health.fault('reset', 'broke', now);
  expect(health.state).toBe('down');
});

test('a defect of ours says nothing of a member', () => {
  const health = up();
  for (let now = 1_000; now < 5_000; now += 500) expect(health.fault('defect', 'ours', now)).toBe(false);
  expect(health.state).toBe('up');
});

test('a delivered range clears a suspect', () => {
  const health = up();
  health.fault('reset', 'broke', 1_000);
  // Asked for before the suspicion: its bytes may have lain in buffers.
  expect(health.delivered(health.since - 1, 1_100)).toBe(false);
  expect(health.delivered(health.since, 1_100)).toBe(true);
  health.fault('reset', 'broke', 2_000);
  health.fault('reset', 'broke', 3_000);
  expect(health.state).toBe('suspect');
});

test('who relapses at once is probed ever more rarely', () => {
  const health = up();
  const delays = [0, 1, 2, 3].map((relapse) => {
    health.fault('corrupt', 'wrong', 1_000 * relapse + 500);
    const delay = health.probeDelay(0.5, false);
    health.identified(1_000 * relapse + 1_000);
    return delay;
  });
  expect(delays).toEqual([700, 1_400, 2_800, 3_000]);
});

test('who is found well in an outage and falls with each read is probed ever more rarely, until it has delivered', () => {
  const health = up();
  const relapse = (at: number) => {
    health.identified(at);
    health.fault('content-range', 'wrong', at + 100);
    return health.probeDelay(0.5, true);
  };
  expect([1, 2, 3, 4, 5, 6, 7].map((time) => relapse(1_000 * time))).toEqual([
    270, 540, 1_080, 2_160, 3_000, 3_000, 3_000,
  ]);
  health.identified(9_000);
  health.delivered(9_000, 9_050);
  health.fault('connect', 'refused', 9_100);
  expect(health.probeDelay(0.5, true)).toBe(270);
});

test('who was well for long is probed soon', () => {
  const health = up();
  health.fault('connect', 'refused', 60_000);
  expect(health.probeDelay(0.5, false)).toBe(350);
});
