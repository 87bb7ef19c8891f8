/** Figures of several runs: medians and the table that every bench ends with. */
import { renderTable } from '../../src/base/text-table.ts';

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The value below which `share` (0 to 1) of them lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** One thing that was measured in each run. */
export interface Measured {
  name: string;
  /** One value a run. */
  values: number[];
  unit: string;
  /** Digits after the point. */
  digits?: number;
}

/**
 * Prints medians, all runs, and each median as a ratio of that of `base`.
 * @param base the name of what the others are compared with.
 */
export function printFigures(measured: readonly Measured[], base: string): void {
  const against = median(measured.find(({ name }) => name === base)?.values ?? []);
  const rows = measured.map(({ name, values, unit, digits = 0 }) => [
    name,
    `${median(values).toFixed(digits)} ${unit}`,
    (median(values) / against).toFixed(2),
    values.map((value) => value.toFixed(digits)).join(' '),
  ]);
  console.log(renderTable(['what', 'median', `to ${base}`, 'runs'], rows));
}
