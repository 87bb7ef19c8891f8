/** slowest REPORT: the ten tests that took longest. */
import { readReport, titleOf } from './run-report.ts';

const tests = readReport(process.argv[2] ?? '/dev/null').files.flatMap(({ file, tests }) =>
  tests.map((test) => ({ file, ...test })),
);
if (tests.length > 10) {
  console.log('the slowest tests, s:');
  for (const { file, name, ms } of tests.sort((a, b) => b.ms - a.ms).slice(0, 10))
    console.log(`${(ms / 1000).toFixed(1).padStart(7)}  ${titleOf(file, name)}`);
}
