import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { metrics } from '../../src/mount/metrics.ts';

it('docs/metrics.md has one line for each metric, with its labels and meaning, and none besides', () => {
  const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  const documented = text.split('\n').filter((line) => line.startsWith('| `'));
  const expected = metrics.map(({ name, labels, help }) => `| \`${name}\` | ${labels.join(', ') || '–'} | ${help} |`);
  expect(documented).toEqual(expected);
});
