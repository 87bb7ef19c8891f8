/** Two hundred clients on one clock: a member that comes back is not used by all of them at once, and by each of them soon. */
import { describe, expect, test } from 'vitest';
import { simulateHerd } from '../../bench/faults/herd-simulation.ts';
import { pseudoRandomIntegers } from '../mount/pseudo-random.ts';

const clients = 200;

function fixedRandom(seed: number): () => number {
  const draw = pseudoRandomIntegers(seed);
  return () => draw(1 << 30) / (1 << 30);
}

describe.each([false, true])('out, silent: %s', (silent) => {
  test.each([100, 300, 1_000, 30_000])(
    'for %d ms: no 100 ms see more than 40 %% return; the last is back within 6 s',
    async (outMs) => {
      const { returns, most } = await simulateHerd({ clients, outMs, silent, random: fixedRandom(outMs) });
      expect(returns).toHaveLength(clients);
      expect(most).toBeLessThanOrEqual(0.4 * clients);
      expect(returns.at(-1)).toBeLessThan(6_000);
    },
  );
});

test('the only member: each client is back within 0.4 s, because readers wait', async () => {
  for (const outMs of [1_000, 15_000]) {
    const { returns } = await simulateHerd({ clients, outMs, silent: true, only: true, random: fixedRandom(7) });
    expect(returns).toHaveLength(clients);
    expect(returns.at(-1)).toBeLessThan(400);
  }
});
