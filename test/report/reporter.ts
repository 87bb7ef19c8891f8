/** Vitest's reporter that writes a RunReport to the file that TETHERFS_TEST_REPORT names. */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { SerializedError, TestCase, TestModule } from 'vitest/node';
import type { FileReport, RunReport, TestReport } from './run-report.ts';

export default class ReportWriter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    const path = process.env['TETHERFS_TEST_REPORT'];
    if (path === undefined) return;
    const report: RunReport = { files: modules.map(fileReport), unhandled: [] };
    for (const error of unhandledErrors) {
      const origin = report.files.find(({ file }) => file === originOf(error));
      // The pool's own word for a worker that died names no file; the file has its failure already.
      const known = error.message.startsWith('[vitest-pool]') && report.files.some(cameToNoEnd);
      if (!known) (origin?.errors ?? report.unhandled).push(describe(error));
    }
    writeFileSync(path, JSON.stringify(report));
  }
}

const noEnd = 'it did not come to its end';

function cameToNoEnd({ tests, errors }: FileReport): boolean {
  return errors.includes(noEnd) || tests.some(({ error }) => error === noEnd);
}

function fileReport(module: TestModule): FileReport {
  const errors = [...module.errors(), ...[...module.children.allSuites()].flatMap((suite) => suite.errors())];
  const tests = [...module.children.allTests()].map(testReport);
  // A worker that died with its file leaves no error with it.
  const silent = module.state() === 'failed' && errors.length === 0 && tests.every(({ state }) => state !== 'failed');
  return {
    file: module.relativeModuleId,
    tests,
    errors: silent ? [noEnd] : errors.map(describe),
  };
}

function testReport(test: TestCase): TestReport {
  const { state, errors = [] } = test.result();
  const [first] = errors;
  return {
    name: test.fullName,
    state: state === 'pending' ? 'failed' : state,
    ms: Math.round(test.diagnostic()?.duration ?? 0),
    ...(first !== undefined && { error: describe(first) }),
    ...(state === 'pending' && { error: noEnd }),
  };
}

/** The file whose code was running, as far as vitest knows. */
function originOf(error: SerializedError): string | undefined {
  const path = error['VITEST_TEST_PATH'];
  return typeof path === 'string' ? relative(process.cwd(), path) : undefined;
}

/** Message and where it was thrown, without the runner's own frames. */
function describe({ message, stack = '' }: SerializedError): string {
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line) && !/node_modules|node:/.test(line));
  return [message, ...frames.slice(0, 3)].join('\n');
}
