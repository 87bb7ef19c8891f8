/** repeated REPORT...: of several runs, a table of every test that failed, with the first thing that each said, then of the ten slowest. */
import { failuresOf, readReport, titleOf } from './run-report.ts';

interface Row {
  test: string;
  runs: number;
  failures: number;
  slowestMs: number;
  error: string;
}

const rows = new Map<string, Row>();

function rowOf(file: string, name: string): Row {
  const test = titleOf(file, name);
  const row = rows.get(test) ?? { test, runs: 0, failures: 0, slowestMs: 0, error: '' };
  rows.set(test, row);
  return row;
}

for (const path of process.argv.slice(2)) {
  const { files, unhandled } = readReport(path);
  for (const file of files) {
    for (const { name, ms } of file.tests) {
      const row = rowOf(file.file, name);
      row.runs++;
      row.slowestMs = Math.max(row.slowestMs, ms);
    }
    for (const { test, error } of failuresOf(file)) blame(rowOf(file.file, test), error);
  }
  if (files.length === 0) blame(rowOf('the run itself', ''), 'it came to no end');
  for (const error of unhandled) blame(rowOf('outside of every file', ''), error);
}

function blame(row: Row, error: string): void {
  row.failures++;
  row.error ||= error;
}

const line = (runs: unknown, failures: unknown, slowest: string, test: string) =>
  `${String(runs).padStart(5)} ${String(failures).padStart(9)} ${slowest.padStart(11)}  ${test}`;
const seconds = (ms: number) => (ms / 1000).toFixed(1);

const failed = [...rows.values()].filter(({ failures }) => failures > 0).sort((a, b) => b.failures - a.failures);
const slow = [...rows.values()].sort((a, b) => b.slowestMs - a.slowestMs).slice(0, 10);
console.log(line('runs', 'failures', 'slowest, s', 'test'));
for (const { test, runs, failures, slowestMs, error } of failed) {
  console.log(line(runs, failures, seconds(slowestMs), test));
  console.log(error.replaceAll(/^/gm, '        '));
}
for (const { test, runs, failures, slowestMs } of slow.filter((row) => !failed.includes(row)))
  console.log(line(runs, failures, seconds(slowestMs), test));
console.log(`${rows.size} tests, ${failed.length} of them failed at least once`);
