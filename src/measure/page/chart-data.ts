/** What the charts of the page show, in the form that uPlot takes: one row of places on the x axis, and a row of values for each line. */
import type { Distribution } from '../distribution.ts';
import { oneAtATime, throughputOf } from '../figures.ts';
import type { Report } from '../report.ts';
import { type NamedPlace, placesOf } from '../summary.ts';
import { sizeName } from '../wording.ts';

export interface Chart {
  readonly title: string;
  readonly x: { readonly label: string; readonly log: boolean };
  readonly y: { readonly label: string; readonly most: number | null };
  /** Of the lines; which is which has the same number in every chart. */
  readonly lines: readonly { readonly name: string; readonly number: number }[];
  /** The x values, then each line's, null where it has none. */
  readonly data: readonly (readonly (number | null)[])[];
}

/** Of the bins of a histogram (distribution.ts). */
const binWidth = 2 ** (1 / 8);
const mb = 1e6;

export function chartsOf(report: Report): Chart[] {
  const places = placesOf(report);
  const { sizes, parallel } = report.plan;
  const [small = 0] = sizes;
  const large = sizes.at(-1) ?? 0;
  return [
    shares(`First byte of ${sizeName(small)}`, places, ({ figures }) => oneAtATime(figures, small)?.firstByte),
    shares(
      `First byte of ${sizeName(small)}, under load`,
      places,
      ({ figures }) => oneAtATime(figures, small, true)?.firstByte,
    ),
    shares(`Whole ${sizeName(large)}`, places, ({ figures }) => oneAtATime(figures, large)?.whole),
    throughput(`Throughput of ${parallel} connections`, places, parallel),
  ].filter(({ lines }) => lines.length > 0);
}

/** Of each place the share of answers that took no longer than that. */
function shares(
  title: string,
  places: readonly NamedPlace[],
  of: (place: NamedPlace) => Distribution | null | undefined,
): Chart {
  const known = places.flatMap((place, number) => {
    const found = of(place);
    return found ? [{ name: place.name, number, found }] : [];
  });
  const borders = known.flatMap(({ found }) => found.histogram.flatMap(({ from }) => [from, from * binWidth]));
  const x = [...new Set(borders.map((ms) => Number(ms.toPrecision(5))))].sort((a, b) => a - b);
  return {
    title,
    x: { label: 'ms', log: true },
    y: { label: '% of the answers', most: 100 },
    lines: known.map(({ name, number }) => ({ name, number })),
    data: [x, ...known.map(({ found }) => x.map((ms) => shareUpTo(found, ms)))],
  };
}

function shareUpTo({ histogram, samples }: Distribution, ms: number): number {
  const within = histogram.filter(({ from }) => from * binWidth <= ms * 1.0001);
  return Number(((within.reduce((sum, { count }) => sum + count, 0) / samples) * 100).toFixed(2));
}

/** What came in each stretch of time. */
function throughput(title: string, places: readonly NamedPlace[], connections: number): Chart {
  const known = places.flatMap((place, number) => {
    const found = throughputOf(place.figures, connections);
    // The last stretch was cut off.
    return found && found.series.length > 1
      ? [{ name: place.name, number, ...found, series: found.series.slice(0, -1) }]
      : [];
  });
  const longest = Math.max(0, ...known.map(({ series }) => series.length));
  const everyMs = known[0]?.everyMs ?? 0;
  const x = Array.from({ length: longest }, (_, index) => index * everyMs);
  return {
    title,
    x: { label: 'ms since the first byte', log: false },
    y: { label: 'MB/s', most: null },
    lines: known.map(({ name, number }) => ({ name, number })),
    data: [
      x,
      ...known.map(({ series }) =>
        x.map((_, index) => {
          const bytes = series[index];
          return bytes === undefined ? null : Number(((bytes * 1_000) / everyMs / mb).toFixed(3));
        }),
      ),
    ],
  };
}
