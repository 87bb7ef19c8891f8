import { globSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

it('docs/errors.md explains every error code that a user can meet', () => {
  const root = new URL('../../', import.meta.url).pathname;
  const documented = new Set(readFileSync(`${root}docs/errors.md`, 'utf8').match(/`[A-Z_]+`/g));
  const sources = globSync('src/**/*.ts', { cwd: root }).map((file) => readFileSync(`${root}${file}`, 'utf8'));
  const thrown = sources.flatMap((text) =>
    [...text.matchAll(/(?:Error|super)\(\s*'([A-Z_]+)'/g)].map(([, code]) => `\`${code}\``),
  );
  // Settles a promise that only the cache sees.
  const internal = new Set(['`FETCH_CANCELLED`']);
  expect(thrown.length).toBeGreaterThan(20);
  expect([...new Set(thrown)].filter((code) => !documented.has(code) && !internal.has(code))).toEqual([]);
});
