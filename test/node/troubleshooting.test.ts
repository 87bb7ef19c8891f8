import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { whatNodesSay } from './said.ts';

it('docs/troubleshooting.md has what a node says that boots without something, or does not boot', () => {
  const document = readFileSync(new URL('../../docs/troubleshooting.md', import.meta.url), 'utf8').replaceAll('’', "'");
  const said = whatNodesSay().map((words) => words.replaceAll('’', "'"));
  expect(said.length).toBeGreaterThan(50);
  // Shorter pieces are found everywhere.
  expect(said.filter((words) => words.length > 9 && !document.includes(words))).toEqual([]);
});
