/** A sequential reader while a link loses packets, and while a member serves flipped bytes: what is left of the healthy rate. */
import { waitUntil } from '../../test/support/wait-until.ts';
import { throughput } from './readers.ts';
import type { Scenario } from './scenario.ts';
import { noError, readThroughFault } from './strike.ts';

/** Three faster links keep both cores busy with their emulation alone. */
const megabits = 100;
const sequential = { readers: 2, pauseMs: 0, order: 'sequential' } as const;
const healthyMs = 5_000;
/** From one healthy second on; connections are warm then. */
const settledMs = 1_000;

export const throughputScenarios: Scenario[] = [
  {
    name: 'loss',
    async run(makeSite) {
      await using site = await makeSite({ megabits });
      const { reads, healthy, struckAt, line } = await readThroughFault(site, {
        reading: sequential,
        healthyMs,
        afterMs: 9_000,
        strike: ({ link }) => link.change({ loss: 0.05 }),
      });
      const well = throughput(reads, (healthy[0]?.startedAt ?? 0) + settledMs, struckAt);
      const lossy = throughput(reads, struckAt + settledMs, struckAt + 9_000);
      return [
        { what: 'throughput, to three healthy links', value: lossy / well, unit: 'x', digits: 2, atLeast: 0.65 },
        { what: 'healthy throughput', value: well, unit: 'Mbit/s' },
        { what: 'its part of the stalls', value: line.errors['timeout'] ?? 0, unit: '' },
        noError(reads),
      ];
    },
  },
  {
    name: 'flipped',
    async run(makeSite) {
      await using site = await makeSite({ megabits });
      let requestsThen = Number.NaN;
      const { reads, healthy, struckAt, line } = await readThroughFault(site, {
        reading: sequential,
        healthyMs,
        afterMs: 6_000,
        strike: (member) => member.serveInstead(site.images.flipped),
        async watch(member) {
          requestsThen = await waitUntil(
            'it is fenced',
            async () => {
              const { state, requests } = await site.line(member);
              return state === 'corrupt' && requests;
            },
            { intervalMs: 5 },
          );
        },
      });
      const well = throughput(reads, (healthy[0]?.startedAt ?? 0) + settledMs, struckAt);
      const left = throughput(reads, struckAt, struckAt + 6_000);
      return [
        { what: 'throughput, to three healthy members', value: left / well, unit: 'x', digits: 2, atLeast: 0.6 },
        {
          what: 'spans asked of it after the first wrong one',
          value: line.requests - requestsThen,
          unit: '',
          atMost: 0,
        },
        noError(reads),
      ];
    },
  },
];
