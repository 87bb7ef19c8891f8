/** docs/bench.md names every field of the report. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { reportSchema } from '../../src/measure/index.ts';

function fieldsOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([key, value]) =>
    key === 'properties' ? [...Object.keys(value), ...Object.values(value).flatMap(fieldsOf)] : fieldsOf(value),
  );
}

test('every field of the JSON is explained', () => {
  const text = readFileSync(fileURLToPath(new URL('../../docs/bench.md', import.meta.url)), 'utf8');
  const fields = new Set(fieldsOf(z.toJSONSchema(reportSchema)));
  expect(fields.size).toBeGreaterThan(40);
  expect([...fields].filter((field) => !text.includes(`\`${field}\``))).toEqual([]);
});
