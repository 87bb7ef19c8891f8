/** What stands out in a report: members that are distinctly worse than the best of them. */
import { type Distribution, fewestJudged } from './distribution.ts';
import { oneAtATime, throughputOf } from './figures.ts';
import type { MemberReport, Report } from './report.ts';
import { steadyRate } from './steady-rate.ts';

export interface Worse {
  readonly url: string;
  /** In words: `first byte of 4 KiB`. */
  readonly what: string;
  readonly unit: 'ms' | 'bytes/s';
  readonly value: number;
  /** Who is the best, and how good. */
  readonly best: { readonly url: string; readonly value: number };
  /** How many times worse; at least 1. */
  readonly factor: number;
}

/** So much worse, and by as many ms at the least, is more than what differs between equals. */
const distinct = 1.5;
const leastMs = 0.2;

/** Of each member what is worse most, the worst member first. */
export function worseMembers({ members, plan }: Pick<Report, 'members' | 'plan'>): Worse[] {
  const [small = 0] = plan.sizes;
  const large = plan.sizes.at(-1) ?? 0;
  const found = [
    ...worseIn(members, `first byte of ${small / 1_024} KiB`, (member) => oneAtATime(member, small)?.firstByte),
    ...worseIn(members, `whole ${large / 1_024} KiB`, (member) => oneAtATime(member, large)?.whole),
    ...worseIn(members, 'connection set-up', ({ setUp }) => setUp?.whole),
    ...worseRates(members, plan.parallel),
  ].sort((a, b) => b.factor - a.factor);
  return found.filter(({ url }, index) => found.findIndex((other) => other.url === url) === index);
}

function worseIn(
  members: readonly MemberReport[],
  what: string,
  of: (member: MemberReport) => Distribution | null | undefined,
): Worse[] {
  const judged = members.flatMap((member) => {
    const found = of(member);
    return !found || found.samples < fewestJudged ? [] : [{ url: member.url, ...found.p50 }];
  });
  const best = judged.toSorted((a, b) => a.value - b.value)[0];
  if (best === undefined) return [];
  return judged
    .filter(({ value, low }) => low > best.high && value > best.value * distinct && value - best.value > leastMs)
    .map(({ url, value }) => ({ url, what, unit: 'ms', value, best, factor: value / best.value }));
}

function worseRates(members: readonly MemberReport[], connections: number): Worse[] {
  const rates = members.flatMap((member) => {
    const one = throughputOf(member, connections);
    const judged = one && steadyRate(one);
    return judged === undefined ? [] : [{ url: member.url, ...judged }];
  });
  const best = rates.toSorted((a, b) => b.value - a.value)[0];
  if (best === undefined) return [];
  return rates
    .filter(({ value, high }) => high < best.low && value * distinct < best.value)
    .map(({ url, value }) => ({
      ...{ url, what: `throughput of ${connections} connections`, unit: 'bytes/s' as const },
      ...{ value, best, factor: best.value / value },
    }));
}
