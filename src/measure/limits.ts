/** Limits that a member must keep, for monitoring: `first-byte-p99=50ms`. */
import { UsageError } from '../base/errors.ts';
import type { Distribution } from './distribution.ts';
import { oneAtATime, throughputOf } from './figures.ts';
import type { Plan } from './plan.ts';
import type { MemberReport, Report } from './report.ts';

export interface Limit {
  readonly name: LimitName;
  /** ms; bytes a second; a number of errors. */
  readonly value: number;
  /** As it was given. */
  readonly given: string;
}

/** A member that does not keep a limit, and why, in words. */
export interface Broken {
  readonly url: string;
  readonly limit: Limit;
  readonly why: string;
}

type Unit = 'time' | 'rate' | 'count';

interface Kind {
  readonly unit: Unit;
  /** null: too few samples, or none. */
  of(member: MemberReport, plan: Plan): number | null;
}

const smallest = (member: MemberReport, { sizes }: Plan, loaded: boolean) =>
  oneAtATime(member, sizes[0] ?? 0, loaded)?.firstByte;
const largest = (member: MemberReport, { sizes }: Plan) => oneAtATime(member, sizes.at(-1) ?? 0)?.whole;
const time = (
  find: (member: MemberReport, plan: Plan) => Distribution | null | undefined,
  quantile: 'p50' | 'p90' | 'p99',
): Kind => ({ unit: 'time', of: (member, plan) => find(member, plan)?.[quantile]?.value ?? null });
const rate = (connections: (plan: Plan) => number): Kind => ({
  unit: 'rate',
  of: (member, plan) => throughputOf(member, connections(plan))?.rate ?? null,
});

const kinds = {
  'set-up': {
    unit: 'time',
    of: ({ setUp }) => setUp?.whole?.p50.value ?? null,
  },
  'first-byte': time((member, plan) => smallest(member, plan, false), 'p50'),
  'first-byte-p90': time((member, plan) => smallest(member, plan, false), 'p90'),
  'first-byte-p99': time((member, plan) => smallest(member, plan, false), 'p99'),
  loaded: time((member, plan) => smallest(member, plan, true), 'p50'),
  whole: time(largest, 'p50'),
  'whole-p90': time(largest, 'p90'),
  throughput: rate(() => 1),
  'throughput-all': rate(({ parallel }) => parallel),
  errors: { unit: 'count', of: ({ errors }) => errors.reduce((sum, { count }) => sum + count, 0) },
} satisfies Record<string, Kind>;
export type LimitName = keyof typeof kinds;

const units: Record<Unit, Record<string, number>> = {
  time: { us: 0.001, ms: 1, s: 1_000 },
  rate: { 'kB/s': 1e3, 'MB/s': 1e6, 'GB/s': 1e9, 'Mbit/s': 1e6 / 8, 'Gbit/s': 1e9 / 8 },
  count: { '': 1 },
};

/** @throws UsageError */
export function parseLimit(given: string): Limit {
  const [, name = '', number = '', unit = ''] = /^([a-z0-9-]+)=(\d+(?:\.\d+)?) ?([A-Za-z/]*)$/.exec(given) ?? [];
  if (!isLimitName(name))
    throw new UsageError(
      `--fail-if ${given}: give NAME=LIMIT, such as first-byte-p99=50ms; NAME one of ${Object.keys(kinds).join(', ')}`,
    );
  const allowed = units[kinds[name].unit];
  const factor = Object.hasOwn(allowed, unit) ? allowed[unit] : undefined;
  if (factor === undefined)
    throw new UsageError(
      `--fail-if ${given}: give ${name} ${Object.keys(allowed).join('') === '' ? 'a number' : `in ${Object.keys(allowed).join(', ')}`}`,
    );
  return { name, value: Number(number) * factor, given };
}

function isLimitName(name: string): name is LimitName {
  return Object.hasOwn(kinds, name);
}

/** Who was not measured, or of whom a figure is not known, keeps no limit: monitoring must not take silence for health. */
export function brokenLimits({ members, plan }: Pick<Report, 'members' | 'plan'>, limits: readonly Limit[]): Broken[] {
  return members.flatMap((member) =>
    limits.flatMap((limit) => {
      const why = whyBroken(member, plan, limit);
      return why === undefined ? [] : [{ url: member.url, limit, why }];
    }),
  );
}

function whyBroken(member: MemberReport, plan: Plan, { name, value }: Limit): string | undefined {
  if (member.leftOut !== null) return `it was left out: ${member.leftOut}`;
  const kind: Kind = kinds[name];
  const found = kind.of(member, plan);
  if (found === null) return 'that is not known: there were too few answers';
  const keeps = kind.unit === 'rate' ? found >= value : found <= value;
  return keeps ? undefined : `it is ${shown(found, kind.unit)}`;
}

function shown(value: number, unit: Unit): string {
  if (unit === 'count') return String(value);
  return unit === 'time' ? `${Number(value.toPrecision(3))} ms` : `${Number((value / 1e6).toPrecision(3))} MB/s`;
}
