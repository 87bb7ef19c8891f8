/**
 * What became of a run of the tests, as its reporter leaves it in a file for what comes after: the closing lines, the second try of
 * .ci/run, the table of test:repeat.
 */
import { existsSync, readFileSync } from 'node:fs';

export interface RunReport {
  files: FileReport[];
  /** Errors that belong to no file, one text each. */
  unhandled: string[];
}

export interface FileReport {
  /** Relative to the project. */
  file: string;
  tests: TestReport[];
  /** Of loading it, of preparing and cleaning up for more than one test, and what nobody caught. One text each. */
  errors: string[];
}

export interface TestReport {
  /** With the names of the groups around it. */
  name: string;
  state: 'passed' | 'failed' | 'skipped';
  /** How long it took, its own preparation and clean-up included. */
  ms: number;
  /** Of its first failure. */
  error?: string;
}

export interface Failure {
  file: string;
  /** Empty when the file itself failed. */
  test: string;
  error: string;
}

/** A run that was ended before its end left no file, or an empty one: a report of nothing. */
export function readReport(path: string): RunReport {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  return text === '' ? { files: [], unhandled: [] } : (JSON.parse(text) as RunReport);
}

/** A file without a failed test fails as one, when it could not be loaded, prepared or cleaned up. */
export function failuresOf({ file, tests, errors }: FileReport): Failure[] {
  const failed = tests
    .filter(({ state }) => state === 'failed')
    .map(({ name, error = '' }) => ({ file, test: name, error }));
  if (failed.length > 0 || errors.length === 0) return failed;
  return [{ file, test: '', error: errors[0] ?? '' }];
}

/** A test by its file and name; the file alone when the name is empty. */
export function titleOf(file: string, test: string): string {
  return test === '' ? file : `${file} › ${test}`;
}

export function passedOf({ tests }: FileReport): number {
  return tests.filter(({ state }) => state === 'passed').length;
}
