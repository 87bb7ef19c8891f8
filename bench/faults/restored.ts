/** A member that was out and is back: used again for its share soon. What many clients do together is herd.ts's. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../../test/support/wait-until.ts';
import { longestWait, waitedSince } from './readers.ts';
import { clock } from './reading.ts';
import type { Scenario } from './scenario.ts';
import type { FaultMember, FaultSite } from './site.ts';
import { noError } from './strike.ts';

const outMs = 8_000;
/** Its share is looked at over so much time. */
const shareMs = 1_000;
/** Members that are alike share by lot: of some 250 reads a second a third, give or take. */
const fairShare = 0.7 / 3;

async function bytesOf(site: FaultSite, member: FaultMember): Promise<{ its: number; all: number }> {
  const { members } = await site.daemon.status();
  const its = members.find(({ url }) => url === member.url)?.bytes ?? 0;
  return { its, all: members.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function restored(name: string, strike: (member: FaultMember) => Promise<void>): Scenario {
  return {
    name,
    async run(makeSite) {
      await using site = await makeSite();
      const { reader } = await site.readWell(1_500);
      const member = await site.inUse();
      await strike(member);
      await sleep(outMs);
      const backAt = clock();
      await member.restore();
      const fairAt = await waitUntil(
        'it has its share',
        async () => {
          const before = await bytesOf(site, member);
          const began = clock();
          await sleep(shareMs);
          const after = await bytesOf(site, member);
          const share = (after.its - before.its) / (after.all - before.all);
          return share >= fairShare && began;
        },
        { timeoutMs: 20_000, intervalMs: 1 },
      ).catch(() => Number.POSITIVE_INFINITY);
      await reader.stop();
      return [
        { what: 'has its share after', value: (fairAt - backAt) / 1000, unit: 's', digits: 1, atMost: 10 },
        {
          what: 'longest wait since it is back',
          value: longestWait(waitedSince(reader.reads, backAt)),
          unit: 'ms',
          digits: 1,
        },
        noError(reader.reads),
      ];
    },
  };
}

export const restoredMember: Scenario[] = [
  restored('restored-killed', ({ nginx }) => nginx.kill()),
  restored('restored-silent', ({ link }) => link.silence()),
];
