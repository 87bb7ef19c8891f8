import { fewestJudged, type Quantile } from './distribution.ts';
import type { Throughput } from './figures.ts';

/** Standard deviations on either side that hold 95 of 100. */
const interval = 1.96;

/**
 * The mean of the stretches of time, without the last, which was cut off, in bytes a second; with where 95 of 100 other means would lie. Not their median:
 * what comes in bursts leaves most of them empty.
 */
export function steadyRate({ series, everyMs }: Throughput): Quantile | undefined {
  const rates = series.slice(0, -1).map((bytes) => (bytes * 1_000) / everyMs);
  if (rates.length < fewestJudged) return undefined;
  const value = rates.reduce((sum, one) => sum + one, 0) / rates.length;
  if (value === 0) return undefined;
  const variance = rates.reduce((sum, one) => sum + (one - value) ** 2, 0) / (rates.length - 1);
  const margin = interval * Math.sqrt(variance / rates.length);
  return { value, low: value - margin, high: value + margin };
}
