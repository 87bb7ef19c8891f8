import { describe, expect, it } from 'vitest';
import { systemTime } from '../../src/base/time-source.ts';
import { BackgroundPace } from '../../src/cache/pace.ts';

/** A pace at a time, with readers and members as a test wants them. */
function world(rate?: number) {
  const state = { now: 1000, quietMs: Number.POSITIVE_INFINITY, busy: false };
  const pace = new BackgroundPace({
    collective: {
      usableMembers: 2,
      get busy() {
        return state.busy;
      },
    },
    quietMs: () => state.quietMs,
    rate,
    time: { ...systemTime, now: () => state.now },
  });
  return { state, pace };
}

describe('behind the reads', () => {
  it('asks while nobody else does', () => {
    expect(world().pace.allowance()).toBeGreaterThan(0);
  });

  it('rests while a reader waits, and a moment longer', () => {
    const { state, pace } = world();
    state.quietMs = 0;
    expect(pace.allowance()).toBe('demand');
    state.quietMs = 200;
    expect(pace.allowance()).toBe('demand');
    state.quietMs = 300;
    expect(pace.allowance()).toBeGreaterThan(0);
  });

  it('rests while the members are busy', () => {
    const { state, pace } = world();
    state.busy = true;
    expect(pace.allowance()).toBe('members');
  });

  it('does not starve: one request after two seconds, whoever waits', () => {
    const { state, pace } = world();
    state.quietMs = 0;
    state.now += 2000;
    expect(pace.allowance()).toBe(1);
    pace.asked(1000);
    expect(pace.allowance()).toBe('demand');
  });

  it('keeps to its rate over time, whatever the size of requests', () => {
    const { state, pace } = world(1_000_000);
    let bytes = 0;
    for (const end = state.now + 10_000; state.now < end; state.now += 5) {
      while (typeof pace.allowance() === 'number') {
        pace.asked(524_288);
        bytes += 524_288;
      }
      expect(pace.allowance()).toBe('rate');
    }
    expect(bytes).toBeGreaterThan(9_000_000);
    expect(bytes).toBeLessThan(11_000_000);
  });
});
