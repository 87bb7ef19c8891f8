/** Every member out for a while: readers wait, and go on soon after the first is back. */
import { setTimeout as sleep } from 'node:timers/promises';
import { begunBetween, longestWait } from './readers.ts';
import { clock, type Read } from './reading.ts';
import type { Scenario } from './scenario.ts';
import type { FaultMember } from './site.ts';
import { noError } from './strike.ts';

/** When the first read ended after `moment`, in ms. */
function resumedAfter(reads: readonly Read[], moment: number): number {
  const ends = reads.map(({ startedAt, waitMs }) => startedAt + waitMs).filter((end) => end > moment);
  return Math.min(...ends) - moment;
}

function outage(
  name: string,
  seconds: number,
  strike: (member: FaultMember) => Promise<void>,
  mostRuns = 99,
): Scenario {
  return {
    name,
    mostRuns,
    async run(makeSite) {
      await using site = await makeSite();
      const { reader } = await site.readWell(1_500);
      await Promise.all(site.members.map(strike));
      await sleep(seconds * 1000);
      const [first] = site.members;
      // a server's own start is counted in
      const backAt = clock();
      await first?.restore();
      await sleep(2_000);
      await reader.stop();
      const { reads } = reader;
      const later = begunBetween(reads, backAt + 500);
      return [
        { what: 'reads resume after', value: resumedAfter(reads, backAt), unit: 'ms', atMost: 500 },
        { what: 'longest wait of later reads', value: longestWait(later), unit: 'ms' },
        { what: 'reads that waited', value: reads.filter(({ waitMs }) => waitMs > seconds * 900).length, unit: '' },
        noError(reads),
      ];
    },
  };
}

export const everyMember: Scenario[] = [
  outage('all-killed-15s', 15, ({ nginx }) => nginx.kill()),
  outage('all-silent-15s', 15, ({ link }) => link.silence()),
  outage('all-killed-60s', 60, ({ nginx }) => nginx.kill(), 1),
  outage('all-silent-60s', 60, ({ link }) => link.silence(), 1),
];
