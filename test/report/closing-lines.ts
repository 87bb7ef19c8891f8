/**
 * closing-lines REPORT... [-- SECOND...]: the last lines of a run. Where a file was run again, what became of it then counts, and the tests that failed
 * only at first are listed as UNSTABLE. Then `N passed, N failed`, the same whatever vitest's own summary looks like.
 */
import { type FileReport, failuresOf, passedOf, readReport, titleOf } from './run-report.ts';

const words = process.argv.slice(2);
const split = words.includes('--') ? words.indexOf('--') : words.length;
const reports = words.slice(0, split).map(readReport);
const again = words.slice(split + 1);
const second = new Map(again.flatMap((path) => readReport(path).files).map((file) => [file.file, file]));

function last(file: FileReport): FileReport {
  return second.get(file.file) ?? file;
}

const firstFiles = reports.flatMap(({ files }) => files);
for (const file of firstFiles) {
  const failedAgain = new Set(failuresOf(last(file)).map(({ test }) => test));
  for (const { test, error } of failuresOf(file)) {
    if (failedAgain.has(test)) continue;
    console.log(`UNSTABLE: ${titleOf(file.file, test)}`);
    console.log(error.replaceAll(/^/gm, '    '));
  }
}
const files = firstFiles.map(last);
const unhandled = reports.flatMap((report) => report.unhandled);
const passed = files.reduce((sum, file) => sum + passedOf(file), 0);
const failed = files.reduce((sum, file) => sum + failuresOf(file).length, 0);
console.log(`${passed} passed, ${failed + unhandled.length} failed`);
