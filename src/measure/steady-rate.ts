import { distributionOf, type Quantile } from './distribution.ts';
import type { Throughput } from './figures.ts';

/** Fewer stretches tell nothing. */
const fewest = 8;

/** The rate of most stretches of time, in bytes a second, with how certain it is; without the last, which was cut off. */
export function steadyRate({ series, everyMs }: Throughput): Quantile | undefined {
  const rates = series.slice(0, -1).map((bytes) => (bytes * 1_000) / everyMs);
  return rates.length < fewest ? undefined : distributionOf(rates).p50;
}
