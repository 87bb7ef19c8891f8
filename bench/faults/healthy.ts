/** Nothing is wrong: how many requests and bytes are spent on hedges all the same. */
import type { Status } from '../../src/mount/status.ts';
import { longestWait, p99Wait } from './readers.ts';
import type { Figure, Scenario } from './scenario.ts';
import { noError } from './strike.ts';

const readingMs = 8_000;

function hedges({ members, collective }: Status): Figure[] {
  const sum = (of: (member: Status['members'][number]) => number) =>
    members.reduce((all, member) => all + of(member), 0);
  const [requests, hedged] = [sum((member) => member.requests), sum((member) => member.hedges)];
  const share = (part: number, whole: number) => (100 * part) / whole;
  return [
    { what: 'hedges, of the requests', value: share(hedged, requests), unit: '%', digits: 2, atMost: 2 },
    {
      what: 'bytes got twice',
      value: share(
        collective.bytesWasted,
        sum((member) => member.bytes),
      ),
      unit: '%',
      digits: 2,
      atMost: 2,
    },
    { what: 'requests', value: requests, unit: '' },
  ];
}

export const healthy: Scenario[] = [
  {
    name: 'healthy-random',
    async run(makeSite) {
      await using site = await makeSite();
      const { reader } = await site.readWell(readingMs);
      const figures = hedges(await site.daemon.status());
      await reader.stop();
      return [
        ...figures,
        { what: 'p99 wait', value: p99Wait(reader.reads), unit: 'ms', digits: 1 },
        { what: 'longest wait', value: longestWait(reader.reads), unit: 'ms', digits: 1 },
        noError(reader.reads),
      ];
    },
  },
  {
    name: 'healthy-sequential',
    async run(makeSite) {
      await using site = await makeSite({ megabits: 100 });
      const { reader } = await site.readWell(readingMs, { readers: 2, pauseMs: 0, order: 'sequential' });
      const figures = hedges(await site.daemon.status());
      await reader.stop();
      return [...figures, noError(reader.reads)];
    },
  },
];
