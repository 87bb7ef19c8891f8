/** Two hundred clients on one clock (herd-simulation.ts): do they all return to a restored member at once? */
import { simulateHerd } from './herd-simulation.ts';
import type { Scenario } from './scenario.ts';

const clients = 200;
/** Less than half within 100 ms is a crowd, not a herd: a probe is two requests for 4 KiB. */
const mostAtOnce = 0.4 * clients;
const outs = [
  ['blip of 100 ms', 100],
  ['1 s', 1_000],
  ['5 s', 5_000],
  ['1 min', 60_000],
] as const;

export const herd: Scenario[] = [
  {
    name: 'herd',
    async run() {
      const figures = [];
      for (const [name, outMs] of outs) {
        for (const silent of [false, true]) {
          const { returns, most } = await simulateHerd({ clients, outMs, silent });
          const how = `${name}, ${silent ? 'silent' : 'refusing'}`;
          figures.push(
            {
              what: `of ${clients}, most back within 100 ms (${how})`,
              value: most,
              unit: '',
              atMost: mostAtOnce,
            },
            {
              what: `the last is back after (${how})`,
              value: returns.length === clients ? Math.max(...returns) / 1000 : Number.POSITIVE_INFINITY,
              unit: 's',
              digits: 1,
              atMost: 10,
            },
          );
        }
      }
      return figures;
    },
  },
];
