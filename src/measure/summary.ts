/** A report in tables of words, and remarks in sentences: what people are shown, as text or as a page. */
import type { Distribution, Quantile } from './distribution.ts';
import { oneAtATime, type PlaceFigures, type Ranges, type Throughput, throughputOf } from './figures.ts';
import type { Report } from './report.ts';
import { type Worse, worseMembers } from './verdict.ts';
import { amount, rounded, shortNames, sizeName } from './wording.ts';

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** One member, or all together. */
export interface NamedPlace {
  readonly name: string;
  readonly figures: PlaceFigures;
}

/** From here on this process, not a member, may be what was measured. */
const busy = 0.9;
const mb = 1e6;

/** What the columns of the summary are. */
export const summaryLegend =
  'ms, medians: set-up of a connection; first byte of the smallest ranges, then their p99, and their median under load; whole ranges, one at a time. MB/s: by one connection, by several.';

/** The members in the order of the report, then all together. */
export function placesOf(report: Report): NamedPlace[] {
  const nameOf = namesIn(report);
  return [
    ...report.members.map((member) => ({ name: nameOf(member.url), figures: member })),
    ...(report.together === null ? [] : [{ name: 'all together', figures: report.together }]),
  ];
}

export function headline({ members, node, seconds, began }: Report): string {
  const many = members.length === 1 ? '1 member' : `${members.length} members`;
  return `${many} from ${node}, ${began.slice(0, 19)}Z, ${Math.round(seconds)} s`;
}

export function summaryTable(report: Report): Table {
  const { sizes, parallel } = report.plan;
  const [small = 0, ...larger] = sizes;
  return {
    head: ['member', 'set-up', sizeName(small), 'p99', 'loaded', ...larger.map(sizeName), 'MB/s', `by ${parallel}`],
    rows: placesOf(report).map(({ name, figures }) => {
      const firstByte = oneAtATime(figures, small)?.firstByte;
      return [
        ...[name, ms(figures.setUp?.whole?.p50), ms(firstByte?.p50), ms(firstByte?.p99)],
        ms(oneAtATime(figures, small, true)?.firstByte?.p50),
        ...larger.map((size) => ms(oneAtATime(figures, size)?.whole?.p50)),
        ...[1, parallel].map((connections) => rate(throughputOf(figures, connections))),
      ];
    }),
  };
}

/** Every size, depth and load. */
export function rangesTable(report: Report): Table {
  const quantiles = (of: Distribution | null) => [ms(of?.p90), ms(of?.p99), ms(of?.p999)];
  const head = ['member', 'range', 'depth', 'load', 'samples'];
  for (const what of ['first byte', 'whole']) head.push(`${what} p50`, '95 % of such', 'p90', 'p99', 'p99.9');
  const rows = placesOf(report).flatMap(({ name, figures }) =>
    figures.ranges.map(({ size, depth, loaded, firstByte, whole }: Ranges) => [
      ...[name, sizeName(size), String(depth), loaded ? 'loaded' : 'idle', String(whole?.samples ?? 0)],
      ...[ms(firstByte?.p50), interval(firstByte?.p50), ...quantiles(firstByte)],
      ...[ms(whole?.p50), interval(whole?.p50), ...quantiles(whole)],
    ]),
  );
  return { head, rows };
}

export function throughputTable(report: Report): Table {
  const head = ['member', 'connect p50', 'p99', 'TLS p50', 'p99', 'connections', 'MB/s', 'MB', 's'];
  const rows = placesOf(report).flatMap(({ name, figures: { setUp, throughput } }) =>
    throughput.map((one) => [
      ...[name, ms(setUp?.connect?.p50), ms(setUp?.connect?.p99), ms(setUp?.tls?.p50), ms(setUp?.tls?.p99)],
      ...[String(one.connections), rate(one), rounded(one.bytes / mb), rounded(one.ms / 1_000)],
    ]),
  );
  return { head, rows };
}

/** What went wrong, who stands out, what the selection made of it: paragraphs of sentences, none of them empty. */
export function remarks(report: Report): string[][] {
  const nameOf = namesIn(report);
  const places = placesOf(report);
  return [
    places.flatMap(({ name, figures }) =>
      figures.errors.map(({ kind, count, example }) => `${name}: ${count} x ${kind}: ${example}`),
    ),
    report.members.flatMap(({ url, leftOut }) => (leftOut === null ? [] : [`${nameOf(url)} was left out: ${leftOut}`])),
    sizes(report, nameOf),
    worseMembers(report).map((worse) => describeWorse(worse, nameOf)),
    choice(report, nameOf),
    replayed(report),
    lost(places),
    ownLimit(places),
    report.complete ? [] : ['Interrupted: this is what had been measured by then.'],
  ].filter((paragraph) => paragraph.length > 0);
}

function namesIn({ members }: Report): (url: string) => string {
  const names = shortNames(members.map(({ url }) => url));
  return (url) => names.get(url) ?? url;
}

function sizes({ members }: Report, nameOf: (url: string) => string): string[] {
  const known = members.filter(({ imageSize }) => imageSize !== null);
  if (new Set(known.map(({ imageSize }) => imageSize)).size < 2) return [];
  const each = known.map(({ url, imageSize }) => `${imageSize} bytes at ${nameOf(url)}`);
  return [`Not the same image everywhere: ${each.join(', ')}.`];
}

function describeWorse({ url, what, unit, value, best, factor }: Worse, nameOf: (url: string) => string): string {
  return `${nameOf(url)} is slow: ${what} ${amount(value, unit)}, ${rounded(factor)} times worse than ${nameOf(best.url)} (${amount(best.value, unit)}).`;
}

function choice({ together }: Report, nameOf: (url: string) => string): string[] {
  if (together === null || together.choice.length === 0) return [];
  const all = together.choice.reduce((sum, { bytes }) => sum + bytes, 0);
  const each = together.choice.map(({ url, bytes, state }) => {
    const share = all > 0 ? Math.round((bytes / all) * 100) : 0;
    return `${share} % ${nameOf(url)}${state === 'up' ? '' : ` (${state})`}`;
  });
  return [`Asked together, the selection took of the bytes: ${each.join(', ')}.`];
}

/** What each member's loss costs a boot: the median of its replays, in ms, and how much longer that is than with all. */
export function losses(report: Report): { name: string; ms: number; factor: number }[] {
  const nameOf = namesIn(report);
  const all = replayMs(report, null);
  return (report.replay?.runs ?? []).flatMap(({ without }) => {
    const one = replayMs(report, without);
    return without === null || all === undefined || one === undefined
      ? []
      : [{ name: nameOf(without), ms: one, factor: one / all }];
  });
}

function replayed(report: Report): string[] {
  const { replay } = report;
  const all = replayMs(report, null);
  if (replay === null || all === undefined) return [];
  const each = losses(report).map(
    ({ name, ms: one, factor }) => `${rounded(one)} ms without ${name} (${rounded(factor)} times)`,
  );
  return [
    `What a boot reads (${rounded(replay.bytes / mb)} MB of its trace) takes ${rounded(all)} ms; ${each.join(', ')}.`,
  ];
}

function replayMs({ replay }: Report, without: string | null): number | undefined {
  return median(replay?.runs.find((run) => run.without === without)?.ms ?? []);
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function lost(places: readonly NamedPlace[]): string[] {
  return places.flatMap(({ name, figures }) => {
    const most = Math.max(0, ...[...figures.ranges, ...figures.throughput].map(({ lanesLost }) => lanesLost));
    return most === 0
      ? []
      : [
          `${name}: up to ${most} of those that asked at once got errors alone, and were given up; the others had more for themselves.`,
        ];
  });
}

function ownLimit(places: readonly NamedPlace[]): string[] {
  const loads = places.flatMap(({ figures }) => [...figures.ranges, ...figures.throughput].map((one) => one.ownLoad));
  const busiest = Math.max(0, ...loads);
  if (busiest < busy) return [];
  return [
    `This process was at work ${Math.round(busiest * 100)} % of the time in some of it: there its own speed is the limit, not the members'.`,
  ];
}

function rate(throughput: Throughput | undefined): string {
  return throughput === undefined || throughput.rate === null ? '-' : rounded(throughput.rate / mb);
}

function interval(quantile: Quantile | null | undefined): string {
  return quantile ? `${rounded(quantile.low)}-${rounded(quantile.high)}` : '-';
}

function ms(quantile: Quantile | null | undefined): string {
  return quantile ? rounded(quantile.value) : '-';
}
