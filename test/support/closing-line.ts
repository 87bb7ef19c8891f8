/**
 * Prints `N passed, N failed` from vitest's JSON report (first argument): the last line of `npm test`, the same whatever
 * vitest's own summary looks like.
 */
import { readFileSync } from 'node:fs';

interface Report {
  numPassedTests?: number;
  numFailedTests?: number;
  testResults?: { status: string; assertionResults: { status: string }[] }[];
}

function readReport(file: string): Report {
  const text = readFileSync(file, 'utf8');
  return text === '' ? {} : (JSON.parse(text) as Report);
}

const report = readReport(process.argv[2] ?? '/dev/null');
// A file that cannot be loaded, or whose preparation or clean-up fails, may have no test of its own that failed.
const files = (report.testResults ?? []).filter(
  ({ status, assertionResults }) => status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
);
console.log(`${report.numPassedTests ?? 0} passed, ${(report.numFailedTests ?? 0) + files.length} failed`);
