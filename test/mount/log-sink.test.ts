/** What the kernel's log gets. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createLog } from '../../src/base/log.ts';
import { kmsgSink } from '../../src/mount/log-sink.ts';
import { makeTempDir } from '../support/temp-dir.ts';

test.each([
  ['plain', 'x'.repeat(3_000)],
  ['in other alphabets', 'ü'.repeat(3_000)],
  ['of characters beyond the usual', '🌲'.repeat(3_000)],
])('a line that is too long for a record is cut, by bytes, and shows it: %s', (_, text) => {
  using directory = makeTempDir('log-sink');
  const path = join(directory.path, 'kmsg');
  writeFileSync(path, '');
  kmsgSink(path)?.('warn', text);
  const record = readFileSync(path);
  expect(record.length).toBeLessThanOrEqual(4 + 900 + 1);
  expect(record.length).toBeGreaterThan(890);
  expect(record.toString()).toMatch(/^<28>.*…\n$/u);
  expect(record.toString()).not.toContain('\ufffd');
});

test.each(['text', 'json'] as const)('what a peer said is no command to a terminal, in %s', (format) => {
  const lines: string[] = [];
  const sink = (_level: unknown, line: string) => lines.push(line) > 0;
  createLog({ level: 'info', format, sink }).warn('member is down', { reason: 'to \x9b2J \x1b[2J \x85 x' });
  expect(lines.join('')).not.toMatch(/\p{Cc}/u);
});
