/** What a run's report and closing lines say, with a real vitest over files that fail in each way that files do. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeTempDir } from '../support/temp-dir.ts';
import { failuresOf, type RunReport, readReport } from './run-report.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));
const temp = makeTempDir('report');

const files = {
  'passes.test.ts': `it('holds', () => {}); it.skip('is left out', () => {});`,
  'fails.test.ts': `describe('a group', () => { it('holds not', () => expect(1).toBe(2)); it('holds', () => {}); });`,
  'cannot-be-loaded.test.ts': `import './nothing.ts';`,
  'cannot-be-prepared.test.ts': `beforeAll(() => { throw new Error('no site'); }); it('is not reached', () => {});`,
  'is-left-in-disorder.test.ts': `it('holds', () => {}); afterAll(() => { throw new Error('left behind'); });`,
  'leaves-a-rejection.test.ts': `it('holds', async () => { Promise.reject(new Error('nobody caught')); await new Promise((go) => setTimeout(go, 50)); });`,
  'dies.test.ts': `it('dies', async () => { process.kill(process.pid, 'SIGKILL'); await new Promise(() => {}); });`,
};

/** Runs vitest over these files. @returns what it left. */
function run(name: string, which: readonly string[]): string {
  const report = join(temp.path, name);
  spawnSync(process.execPath, [join(project, 'node_modules/vitest/vitest.mjs'), 'run', ...which], {
    cwd: temp.path,
    env: { ...process.env, TETHERFS_TEST_REPORT: report },
    stdio: 'ignore',
  });
  return report;
}

function program(name: string, ...words: string[]): { status: number | null; lines: string[] } {
  const path = fileURLToPath(new URL(name, import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [path, ...words], { encoding: 'utf8' });
  return { status, lines: stdout.trimEnd().split('\n') };
}

let path: string;
let report: RunReport;
beforeAll(() => {
  mkdirSync(temp.path, { recursive: true });
  symlinkSync(join(project, 'node_modules'), join(temp.path, 'node_modules'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(temp.path, name), text);
  const reporter = JSON.stringify(join(project, 'test/report/reporter.ts'));
  const config = `export default { test: { globals: true, pool: 'forks', reporters: [${reporter}] } };`;
  writeFileSync(join(temp.path, 'vitest.config.mjs'), config);
  path = run('first', []);
  report = readReport(path);
});
afterAll(() => temp.remove());

it('tells every failure with its file, whatever the way', () => {
  const failures = report.files.flatMap(failuresOf);
  const told = failures.map(({ file, test, error }) => [file, test, error.split('\n')[0]]);
  expect(told.sort()).toEqual([
    ['cannot-be-loaded.test.ts', '', expect.stringContaining('nothing.ts')],
    ['cannot-be-prepared.test.ts', '', 'no site'],
    ['dies.test.ts', 'dies', 'it did not come to its end'],
    ['fails.test.ts', 'a group > holds not', expect.stringContaining('expected 1 to be 2')],
    ['is-left-in-disorder.test.ts', '', 'left behind'],
    ['leaves-a-rejection.test.ts', '', 'nobody caught'],
  ]);
  expect(report.files).toHaveLength(7);
});

it('failed-files lists them, and succeeds when nothing failed outside of them', () => {
  const { status, lines } = program('failed-files.ts', path);
  expect(lines.sort()).toEqual(
    Object.keys(files)
      .filter((name) => name !== 'passes.test.ts')
      .sort(),
  );
  expect(status).toBe(0);
  writeFileSync(join(temp.path, 'empty'), '');
  for (const name of ['empty', 'absent']) {
    expect(program('failed-files.ts', join(temp.path, name)).status).toBe(1);
    expect(program('closing-lines.ts', join(temp.path, name)).lines).toEqual(['0 passed, 0 failed']);
  }
});

it('the closing line counts what passed and failed; files run again count as they were then, and are named UNSTABLE', () => {
  expect(program('closing-lines.ts', path).lines.at(-1)).toBe('4 passed, 6 failed');
  expect(program('closing-lines.ts', path, path).lines.at(-1)).toBe('8 passed, 12 failed');
  rmSync(join(temp.path, 'fails.test.ts'));
  writeFileSync(join(temp.path, 'fails.test.ts'), files['fails.test.ts'].replace('toBe(2)', 'toBe(1)'));
  const { lines } = program(
    'closing-lines.ts',
    path,
    '--',
    run('again', ['fails.test.ts', 'cannot-be-loaded.test.ts']),
  );
  expect(lines[0]).toBe('UNSTABLE: fails.test.ts › a group > holds not');
  expect(lines[1]).toMatch(/^ {4}expected 1 to be 2/);
  expect(lines.filter((line) => line.startsWith('UNSTABLE'))).toHaveLength(1);
  expect(lines.at(-1)).toBe('5 passed, 5 failed');
});
