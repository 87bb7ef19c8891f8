/** A member's file that is cut, replaced or written over while it is read from: not one wrong or short read. */
import { readFileSync } from 'node:fs';
import { longestWait, waitedSince } from './readers.ts';
import type { Scenario } from './scenario.ts';
import type { FaultMember, FaultSite } from './site.ts';
import { noError, readThroughFault } from './strike.ts';

function changed(name: string, strike: (member: FaultMember, site: FaultSite) => unknown): Scenario {
  return {
    name,
    async run(makeSite) {
      await using site = await makeSite();
      for (const member of site.members) member.ownFile();
      const { reads, struckAt, line } = await readThroughFault(site, { afterMs: 3_000, strike });
      return [
        noError(reads),
        { what: 'reads that were checked', value: waitedSince(reads, struckAt).length, unit: '' },
        { what: 'longest wait', value: longestWait(waitedSince(reads, struckAt)), unit: 'ms', digits: 1 },
        { what: 'member still used', value: line.state === 'up' ? 1 : 0, unit: '', atMost: 0 },
      ];
    },
  };
}

export const changedFile: Scenario[] = [
  changed('truncated', (member, { images }) => member.truncate(images.image.size / 2)),
  changed('replaced', (member, { images }) => member.replace(images.other)),
  changed('overwritten', (member, { images }) => member.overwrite(readFileSync(images.other))),
];
