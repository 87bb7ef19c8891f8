import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StagedFiles } from '../../src/imgutil/staged-files.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';

let directory: TempDir;
const at = (name: string) => join(directory.path, name);

beforeEach(() => {
  directory = makeTempDir('staged');
});
afterEach(() => directory.remove());

async function stage(staged: StagedFiles, name: string, content: string): Promise<void> {
  await (await staged.create(at(name), 0o640)).appendFile(content);
}

test('staged files are not seen under their names before the commit, and all are after it', async () => {
  writeFileSync(at('a'), 'old');
  const staged = new StagedFiles();
  await stage(staged, 'a', 'new a');
  await stage(staged, 'b', 'new b');
  expect(readFileSync(at('a'), 'utf8')).toBe('old');
  expect(readdirSync(directory.path)).not.toContain('b');
  await staged.commit();
  await staged.discard();
  expect(readdirSync(directory.path).sort()).toEqual(['a', 'b']);
  expect(readFileSync(at('a'), 'utf8')).toBe('new a');
  expect(statSync(at('a')).mode & 0o777).toBe(0o640);
});

test('discarded files were never there', async () => {
  const staged = new StagedFiles();
  await stage(staged, 'a', 'new');
  await staged.discard();
  expect(readdirSync(directory.path)).toEqual([]);
});

test('a rename that fails undoes the ones before it: old files are back, new ones gone', async () => {
  writeFileSync(at('replaced'), 'old');
  const staged = new StagedFiles();
  await stage(staged, 'replaced', 'new');
  await stage(staged, 'added', 'new');
  await stage(staged, 'hindered', 'new');
  mkdirSync(at('hindered'));
  await expect(staged.commit()).rejects.toThrow();
  await staged.discard();
  expect(readdirSync(directory.path).sort()).toEqual(['hindered', 'replaced']);
  expect(readFileSync(at('replaced'), 'utf8')).toBe('old');
});
