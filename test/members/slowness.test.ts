import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Slowness } from '../../src/members/slowness.ts';

/** Records answers a tenth of a second apart; returns the time after the last. */
function record(slowness: Slowness, from: number, ...answers: number[]): number {
  let now = from;
  for (const ms of answers) {
    now += 100;
    slowness.record(ms, now);
  }
  return now;
}

const usual = [5, 4, 6, 5];

test('four slow answers in a row after usual ones are distinctly slow, three are not', () => {
  const slowness = new Slowness();
  const three = record(slowness, 0, ...usual, 60, 60, 60);
  expect(slowness.present(three)).toBe(false);
  expect(slowness.present(record(slowness, three, 60))).toBe(true);
});

test('one quick answer is enough to be as usual', () => {
  const slowness = new Slowness();
  expect(slowness.present(record(slowness, 0, ...usual, 60, 60, 60, 60, 5))).toBe(false);
});

describe('not distinctly slow', () => {
  test.each([
    ['before there is a usual', [60, 60, 60, 60, 60]],
    ['three times the usual, but by less than 20 ms', [1, 1, 20, 20, 20, 20]],
    ['by more than 20 ms, but less than three times', [50, 50, 140, 140, 140, 140]],
  ])('%s', (_, answers) => {
    const slowness = new Slowness();
    expect(slowness.present(record(slowness, 0, ...answers))).toBe(false);
  });
});

test('what was slow five seconds ago tells nothing, nor what was slow before the member was out', () => {
  const slowness = new Slowness();
  const now = record(slowness, 0, ...usual, 60, 60, 60, 60);
  expect(slowness.present(now + 5_001)).toBe(false);
  slowness.restart();
  expect(slowness.present(now)).toBe(false);
  expect(slowness.present(record(slowness, now, 60, 60, 60, 60))).toBe(true);
});

test('a network that has become slower for good is usual after ten minutes', () => {
  const slowness = new Slowness();
  record(slowness, 0, ...usual);
  const slow = (minutes: number) => {
    slowness.record(60, minutes * 60_000);
    return slowness.present(minutes * 60_000);
  };
  for (const minute of [1, 2, 3]) slow(minute);
  expect([4, 6, 9].map(slow)).toEqual([true, true, true]);
  expect([11, 12].map(slow)).toEqual([false, false]);
});

test('answers within three times of each other are never distinctly slow', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 10, max: 30, noNaN: true }), { minLength: 4, maxLength: 40 }), (answers) => {
      const slowness = new Slowness();
      expect(slowness.present(record(slowness, 0, ...answers))).toBe(false);
    }),
  );
});
