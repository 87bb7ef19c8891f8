/** A member that becomes slow without failing: a fiftieth of its rate, or 200 ms further away. */
import type { LinkSettings } from '../network/network.ts';
import { begunBetween, longestWait, p99Wait, waitedSince } from './readers.ts';
import type { Scenario } from './scenario.ts';
import { noError, readThroughFault } from './strike.ts';

const adaptedAfterMs = 2_000;
const megabits = 300;

function slow(name: string, change: Partial<LinkSettings>): Scenario {
  return {
    name,
    async run(makeSite) {
      await using site = await makeSite({ megabits });
      const { healthy, reads, struckAt } = await readThroughFault(site, {
        afterMs: 8_000,
        strike: ({ link }) => link.change(change),
      });
      const adapted = begunBetween(reads, struckAt + adaptedAfterMs);
      const healthyMs = p99Wait(healthy);
      return [
        { what: 'p99, to the healthy p99', value: p99Wait(adapted) / healthyMs, unit: 'x', digits: 1, atMost: 3 },
        { what: 'healthy p99', value: healthyMs, unit: 'ms', digits: 1 },
        { what: 'p99 from 2 s after on', value: p99Wait(adapted), unit: 'ms', digits: 1 },
        { what: 'longest wait', value: longestWait(waitedSince(reads, struckAt)), unit: 'ms' },
        noError(reads),
      ];
    },
  };
}

export const slowMember: Scenario[] = [
  slow('slow-rate', { megabits: megabits / 50 }),
  slow('slow-delay', { rttMs: 201 }),
];
