import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type MemberState, memberStates } from '../../src/members/index.ts';
import { type Candidate, healthiest, select } from '../../src/members/selection.ts';

const candidate = fc.record({
  state: fc.constantFrom(...memberStates),
  hasRoom: fc.boolean(),
  ms: fc.double({ min: 0.01, max: 10_000, noNaN: true }),
});
type Drawn = { state: MemberState; hasRoom: boolean; ms: number };
const asCandidate = ({ state, hasRoom, ms }: Drawn): Candidate & { ms: number } => ({
  state,
  hasRoom,
  ms,
  expectedMs: () => ms,
});
const draw = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('the chosen one is of the best class, has room, and is within 15 % of the best of it that has', () => {
  fc.assert(
    fc.property(fc.array(candidate, { maxLength: 8 }), draw, (drawn, random) => {
      const candidates = drawn.map(asCandidate);
      const up = candidates.filter(({ state }) => state === 'up');
      const best = up.length > 0 ? up : candidates.filter(({ state }) => state === 'suspect');
      const pool = best.filter(({ hasRoom }) => hasRoom);
      const chosen = select(candidates, 65_536, random);
      if (pool.length === 0) return chosen === undefined;
      return chosen !== undefined && pool.includes(chosen) && chosen.ms <= 1.15 * Math.min(...pool.map(({ ms }) => ms));
    }),
  );
});

test('everyone within a tie is chosen by some draw', () => {
  const candidates = [10, 11, 11.4, 12, 90].map((ms) => asCandidate({ state: 'up', hasRoom: true, ms }));
  const chosen = new Set(Array.from({ length: 30 }, (_, step) => select(candidates, 1, step / 30)?.ms));
  expect(chosen).toEqual(new Set([10, 11, 11.4]));
});

test('a suspect serves only when nobody is up, the fenced and the unreachable never', () => {
  const of = (...states: MemberState[]) => states.map((state) => asCandidate({ state, hasRoom: true, ms: 1 }));
  expect(healthiest(of('suspect', 'up', 'down')).map(({ state }) => state)).toEqual(['up']);
  expect(healthiest(of('suspect', 'down', 'suspect')).map(({ state }) => state)).toEqual(['suspect', 'suspect']);
  expect(healthiest(of('down', 'stale', 'corrupt'))).toEqual([]);
});
