/** Two reports of the same members: which figures differ by more than noise. */
import { type Distribution, fewestJudged } from './distribution.ts';
import type { PlaceFigures, Throughput } from './figures.ts';
import type { Report } from './report.ts';
import { steadyRate } from './steady-rate.ts';
import { sizeName } from './wording.ts';

/** A figure that differs. Times in ms, rates in bytes a second. */
export interface Difference {
  /** URL of the member; undefined: of all together. */
  readonly url: string | undefined;
  /** In words: `4 KiB x 16, first byte p90`. */
  readonly what: string;
  readonly unit: 'ms' | 'bytes/s';
  readonly before: number;
  readonly after: number;
  readonly worse: boolean;
}

export interface Comparison {
  /** The largest first. */
  readonly differences: readonly Difference[];
  /** Of so many figures that both have. */
  readonly compared: number;
  /** So many more have too few samples in one of the two. */
  readonly tooFew: number;
  /** URLs that only one of the two has. */
  readonly onlyBefore: readonly string[];
  readonly onlyAfter: readonly string[];
}

/** With where 95 of 100 of its like lie. */
interface Figure {
  readonly what: string;
  readonly unit: Difference['unit'];
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly samples: number;
}

/** What differs by less is of no importance, however certain. */
const leastShare = 0.1;
const leastMs = 0.05;

export function compareReports(before: Report, after: Report): Comparison {
  const placesOf = ({ members, together }: Report) =>
    new Map<string | undefined, PlaceFigures>([
      ...members.map((member) => [member.url, member] as const),
      ...(together === null ? [] : [[undefined, together] as const]),
    ]);
  const [earlier, later] = [placesOf(before), placesOf(after)];
  const differences: Difference[] = [];
  let [compared, tooFew] = [0, 0];
  for (const [url, place] of later) {
    const known = new Map(figuresOf(earlier.get(url)).map((figure) => [figure.what, figure]));
    for (const now of figuresOf(place)) {
      const was = known.get(now.what);
      if (was === undefined) continue;
      if (!isEnough(was) || !isEnough(now)) {
        tooFew++;
        continue;
      }
      compared++;
      if (!differs(was, now)) continue;
      const worse = now.unit === 'ms' ? now.value > was.value : now.value < was.value;
      differences.push({ url, what: now.what, unit: now.unit, before: was.value, after: now.value, worse });
    }
  }
  const size = ({ before: a, after: b }: Difference) => Math.abs(Math.log(b / a));
  const only = (one: typeof later, other: typeof later) =>
    [...one.keys()].filter((url) => url !== undefined && !other.has(url)).map(String);
  return {
    differences: differences.sort((a, b) => size(b) - size(a)),
    compared,
    tooFew,
    onlyBefore: only(earlier, later),
    onlyAfter: only(later, earlier),
  };
}

function isEnough({ samples }: Figure): boolean {
  return samples >= fewestJudged;
}

/** Their intervals have nothing in common, and it matters. */
function differs(a: Figure, b: Figure): boolean {
  const apart = a.high < b.low || b.high < a.low;
  const [less, more] = a.value < b.value ? [a.value, b.value] : [b.value, a.value];
  return apart && more - less >= less * leastShare && (a.unit !== 'ms' || more - less >= leastMs);
}

function figuresOf(place: PlaceFigures | undefined): Figure[] {
  if (place === undefined) return [];
  return [
    ...timesOf('connection', place.setUp?.connect),
    ...timesOf('TLS session', place.setUp?.tls),
    ...place.ranges.flatMap(({ size, depth, loaded, firstByte, whole }) => {
      const range = `${sizeName(size)} x ${depth}${loaded ? ' loaded' : ''}`;
      return [...timesOf(`${range}, first byte`, firstByte), ...timesOf(`${range}, whole`, whole)];
    }),
    ...place.throughput.flatMap(rateOf),
  ];
}

function timesOf(what: string, distribution: Distribution | null | undefined): Figure[] {
  if (!distribution) return [];
  const { samples } = distribution;
  return (['p50', 'p90', 'p99'] as const).flatMap((name) => {
    const quantile = distribution[name];
    return quantile === null ? [] : [{ what: `${what} ${name}`, unit: 'ms' as const, samples, ...quantile }];
  });
}

function rateOf(throughput: Throughput): Figure[] {
  const { connections, series } = throughput;
  if (series.length === 0) return [];
  const rate = steadyRate(throughput);
  const samples = rate === undefined ? 0 : series.length;
  const what = `throughput of ${connections === 1 ? '1 connection' : `${connections} connections`}`;
  return [{ what, unit: 'bytes/s', samples, ...(rate ?? { value: 0, low: 0, high: 0 }) }];
}
