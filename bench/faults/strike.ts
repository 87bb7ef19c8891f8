/** What most scenarios do: read for a while, strike the member in use, read on, and look at what the readers saw. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MemberLine } from '../../src/mount/status.ts';
import { badReads, begunBetween } from './readers.ts';
import type { Read, Reading } from './reading.ts';
import { clock } from './reading.ts';
import type { Figure } from './scenario.ts';
import type { FaultMember, FaultSite } from './site.ts';

export interface Struck {
  member: FaultMember;
  /** Begun while all was well, after the first moments of the mount. */
  healthy: Read[];
  /** All of them. */
  reads: Read[];
  struckAt: number;
  /** The member as the daemon sees it, at the end. */
  line: MemberLine;
}

export interface Strike {
  reading?: Partial<Reading>;
  healthyMs?: number;
  /** How long to read on. */
  afterMs: number;
  /** May take its time; the clock runs from its beginning. */
  strike(member: FaultMember, site: FaultSite): unknown;
  /** Called beside the reading, from the strike on. */
  watch?(member: FaultMember, site: FaultSite): Promise<void>;
}

/** The daemon's own first moments are left out of what is healthy. */
const warmUpMs = 500;

export async function readThroughFault(site: FaultSite, options: Strike): Promise<Struck> {
  const { reading, healthyMs = 2_500, afterMs, strike, watch } = options;
  const { reader, from } = await site.readWell(healthyMs, reading);
  const member = await site.inUse();
  const struckAt = clock();
  await Promise.all([strike(member, site), watch?.(member, site), sleep(afterMs)]);
  const line = await site.line(member);
  await reader.stop();
  return {
    member,
    struckAt,
    line,
    reads: reader.reads,
    healthy: begunBetween(reader.reads, from + warmUpMs, struckAt),
  };
}

/** No read may fail, whatever happens. */
export function noError(reads: readonly Read[]): Figure {
  return { what: 'failed, hanging, short or wrong reads', value: badReads(reads), unit: '', atMost: 0 };
}
