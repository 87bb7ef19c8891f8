import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { describeError, pathOf } from '../../src/base/errors.ts';

async function errorOf(attempt: () => unknown): Promise<unknown> {
  try {
    await attempt();
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

const listening = (path: string) =>
  new Promise((resolve, reject) =>
    createServer()
      .on('error', reject)
      .listen(path, () => resolve(undefined)),
  );

describe('what the operating system refuses is said in its words, or in better ones', () => {
  test.each<[string, () => unknown, string]>([
    ['a directory in place of a file', () => readFileSync('/etc'), 'it is a directory'],
    ['no such file', () => openSync('/not/there', 'r'), 'no such file or directory'],
    ['a socket where none can be', () => listening('/proc/x'), 'permission denied'],
  ])('%s', async (_, attempt, words) => {
    expect(describeError(await errorOf(attempt))).toBe(words);
  });

  // https://github.com/draios/sysdig/issues/1230, https://github.com/walmartlabs/lumbar/issues/53
  test('a limit is named, and how it is raised', () => {
    const error = Object.assign(new Error('spawn /usr/bin/x EMFILE'), { code: 'EMFILE', errno: -24, syscall: 'spawn' });
    expect(describeError(error)).toBe('too many open files (ulimit -n)');
  });

  test('the file is known, where there is one', async () => {
    const directory = mkdtempSync(join(process.env['TMPDIR'] ?? '/tmp', 'errors-'));
    const path = join(directory, 'missing');
    expect(pathOf(await errorOf(() => openSync(path, 'r')))).toBe(path);
    expect(pathOf(new Error(path))).toBeUndefined();
    rmSync(directory, { recursive: true });
  });
});
