/** A member that says at once that it does not serve: its process killed, 503, 404. */
import { longestWait, waitedSince } from './readers.ts';
import type { Scenario } from './scenario.ts';
import type { FaultMember } from './site.ts';
import { noError, readThroughFault } from './strike.ts';

const struckMs = 300;

function broken(name: string, strike: (member: FaultMember) => unknown): Scenario {
  return {
    name,
    async run(makeSite) {
      await using site = await makeSite();
      const { healthy, reads, struckAt } = await readThroughFault(site, { afterMs: 2_000, strike });
      const hit = waitedSince(reads, struckAt);
      // what comes later is this machine's noise, as before
      const first = hit.filter(({ startedAt }) => startedAt < struckAt + struckMs);
      return [
        { what: 'longest wait', value: longestWait(hit), unit: 'ms', digits: 1, atMost: 25 },
        { what: 'longest wait of those begun in the first 0.3 s', value: longestWait(first), unit: 'ms', digits: 1 },
        { what: 'longest wait before, all well', value: longestWait(healthy), unit: 'ms', digits: 1 },
        noError(reads),
      ];
    },
  };
}

export const brokenMember: Scenario[] = [
  broken('killed', ({ nginx }) => nginx.kill()),
  broken('503', (member) => member.refuse()),
  broken('404', (member) => member.hide()),
];
