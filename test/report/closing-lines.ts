/**
 * closing-lines REPORT [SECOND...]: the last lines of a run. Where a file was run again, what became of it then counts, and the tests that failed
 * only at first are listed as UNSTABLE. Then `N passed, N failed`, the same whatever vitest's own summary looks like.
 */
import { type FileReport, failuresOf, passedOf, readReport, titleOf } from './run-report.ts';

const [first = '/dev/null', ...again] = process.argv.slice(2);
const report = readReport(first);
const second = new Map(again.flatMap((path) => readReport(path).files).map((file) => [file.file, file]));

function last(file: FileReport): FileReport {
  return second.get(file.file) ?? file;
}

for (const file of report.files) {
  const failedAgain = new Set(failuresOf(last(file)).map(({ test }) => test));
  for (const { test, error } of failuresOf(file)) {
    if (failedAgain.has(test)) continue;
    console.log(`UNSTABLE: ${titleOf(file.file, test)}`);
    console.log(error.replaceAll(/^/gm, '    '));
  }
}
const files = report.files.map(last);
const passed = files.reduce((sum, file) => sum + passedOf(file), 0);
const failed = files.reduce((sum, file) => sum + failuresOf(file).length, 0);
console.log(`${passed} passed, ${failed + report.unhandled.length} failed`);
