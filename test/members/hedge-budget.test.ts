import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HedgeBudget } from '../../src/members/hedge-budget.ts';

test('never more hedges than the burst and a twentieth of the fetches', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 2_000 }), (hedgeWanted) => {
      const budget = new HedgeBudget();
      let hedges = 0;
      hedgeWanted.forEach((wanted, index) => {
        budget.deposit();
        if (wanted && budget.take()) hedges++;
        expect(hedges).toBeLessThanOrEqual(16 + (index + 1) / 20 + 1e-6);
      });
    }),
  );
});

test('twenty fetches buy one hedge, and what is not spent is capped by the burst', () => {
  const budget = new HedgeBudget(0.05, 2);
  for (let fetch = 0; fetch < 1_000; fetch++) budget.deposit();
  expect([budget.take(), budget.take(), budget.take()]).toEqual([true, true, false]);
  for (let fetch = 0; fetch < 19; fetch++) budget.deposit();
  expect(budget.take()).toBe(false);
  budget.deposit();
  expect(budget.take()).toBe(true);
});
