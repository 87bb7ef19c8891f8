/** What came of the runs: a table for people, and the same for programs. */
import { renderTable } from '../../src/base/text-table.ts';
import { median } from '../support/figures.ts';
import type { Figure } from './scenario.ts';

export interface Row {
  fault: string;
  what: string;
  unit: string;
  atMost?: number;
  atLeast?: number;
  /** One a run. */
  values: number[];
  median: number;
  worst: number;
  /** Runs in which it was reached; absent where nothing is to be. */
  reached?: number;
  digits: number;
}

/** One row for each figure, in the order of the first run. */
export function rowsOf(fault: string, runs: readonly (readonly Figure[])[]): Row[] {
  return (runs[0] ?? []).map((figure) => {
    const { what, unit, digits = 0, atMost, atLeast } = figure;
    const values = runs.map((run) => run.find((other) => other.what === what)?.value ?? Number.NaN);
    const reached = values.filter((value) => value <= (atMost ?? value) && value >= (atLeast ?? value)).length;
    return {
      fault,
      what,
      unit,
      ...(atMost !== undefined && { atMost }),
      ...(atLeast !== undefined && { atLeast }),
      values,
      median: median(values),
      worst: atLeast === undefined ? Math.max(...values) : Math.min(...values),
      ...((atMost !== undefined || atLeast !== undefined) && { reached }),
      digits,
    };
  });
}

/** `yes` is said only when every run reached it. */
export function verdict({ reached, values }: Row): string {
  if (reached === undefined) return '';
  return reached === values.length ? 'yes' : `NO (${reached} of ${values.length} runs)`;
}

export function printRows(rows: readonly Row[]): void {
  const cells = rows.map((row) => {
    const show = (value: number) => `${value.toFixed(row.digits)} ${row.unit}`.trim();
    const { atMost, atLeast } = row;
    const toReach =
      atMost !== undefined ? `<= ${atMost} ${row.unit}` : atLeast !== undefined ? `>= ${atLeast} ${row.unit}` : '';
    return [row.fault, row.what, toReach.trim(), show(row.median), show(row.worst), verdict(row)];
  });
  console.log(renderTable(['fault', 'what', 'to reach', 'seen (median)', 'worst run', 'reached'], cells));
}
