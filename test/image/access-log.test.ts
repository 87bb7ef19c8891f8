import { appendFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { linesOf, parseLogLine, rotatedLogs } from '../../src/imgutil/access-log.ts';
import { heartbeatWithinMs, imageUse } from '../../src/imgutil/image-use.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { logLine } from './log-line.ts';

const hour = 3_600_000;
const day = 24 * hour;
const now = Date.UTC(2026, 10, 23, 3, 8, 48);
const since = now - 7 * day;
const hex = '0123456789abcdef'.repeat(4);
const image = `/confluent-public/os/demo/rootimg-${hex}.sfs`;

describe('a line', () => {
  test.each([
    ['nginx, combined', '10.0.0.7 - - [23/Nov/2026:03:08:48 +0000] "GET /i HTTP/1.1" 206 1 "-" "curl"'],
    ['common', '10.0.0.7 - - [23/Nov/2026:04:08:48 +0100] "GET /i HTTP/1.1" 206 1'],
    ['Apache with a user of two words', 'fe80::1 - two words [22/Nov/2026:17:38:48 -0930] "GET /i HTTP/1.1" 206 -'],
    ['with a virtual host', 'a.example:443 10.0.0.7 - - [23/Nov/2026:03:08:48 +0000] "GET /i HTTP/1.1" 206 1 "-" "-"'],
  ])('of %s', (_, text) => {
    expect(parseLogLine(text)).toEqual({ time: now, request: 'GET /i HTTP/1.1', status: 206 });
  });

  test.each([
    ['an empty line', ''],
    ['no date', '10.0.0.7 - - "GET /i HTTP/1.1" 206 1'],
    ['a date that is none', '10.0.0.7 - - [31/Feb/2026:03:08:48 +0000] "GET /i HTTP/1.1" 206 1'],
    ['a month that is none', '10.0.0.7 - - [03/Now/2026:03:08:48 +0000] "GET /i HTTP/1.1" 206 1'],
    ['no zone', '10.0.0.7 - - [23/Nov/2026:03:08:48] "GET /i HTTP/1.1" 206 1'],
    ['cut off in the request', '10.0.0.7 - - [23/Nov/2026:03:08:48 +0000] "GET /i'],
    ['cut off in the status', '10.0.0.7 - - [23/Nov/2026:03:08:48 +0000] "GET /i HTTP/1.1" 20'],
    ['JSON', '{"time":"2026-11-23T03:08:48Z","request":"GET /i HTTP/1.1","status":206}'],
  ])('that is none: %s', (_, text) => {
    expect(parseLogLine(text)).toBeUndefined();
  });

  test('of any time in any zone is read as that time, whatever the client sent', () => {
    const zones = fc.integer({ min: -12 * 4, max: 14 * 4 }).map((quarters) => quarters * 15);
    const times = fc.integer({ min: 0, max: 4_000_000_000 });
    const requests = fc
      .string()
      .map((text) => text.replace(/["\\\n]/g, (odd) => `\\x${odd.charCodeAt(0).toString(16)}`));
    fc.assert(
      fc.property(times, zones, requests, (seconds, zone, request) => {
        const parsed = parseLogLine(logLine(seconds * 1000, { request, zone }));
        expect(parsed).toEqual({ time: seconds * 1000, request, status: 206 });
      }),
    );
  });

  test('of any bytes is read or refused, and never more than that', () => {
    fc.assert(fc.property(fc.string(), (text) => parseLogLine(text) === undefined || text.includes('[')));
  });
});

describe('logs', () => {
  let directory: TempDir;
  let log: string;
  beforeEach(() => {
    directory = makeTempDir('access-log');
    log = join(directory.path, 'access.log');
  });
  afterEach(() => directory.remove());

  /** A log as it was when it was last written to: at the time of its last line. */
  function lay(path: string, ...times: number[]): void {
    const text = times.map((time) => logLine(time, { request: `GET ${image} HTTP/1.1` })).join('');
    writeFileSync(path, path.endsWith('.gz') ? gzipSync(text) : text);
    const last = Math.max(...times) / 1000;
    utimesSync(path, last, last);
  }

  test('are found with what logrotate made of them, the last written first, and nothing else', async () => {
    for (const [index, name] of ['', '.1', '.2.gz', '-20261101', '-20261031.gz'].entries())
      lay(log + name, now - index * day);
    for (const name of ['.bak', '.1.swp', '2', '.gz', '.1.gz.old']) lay(log + name, now);
    const names = (await rotatedLogs(log)).map(({ path }) => basename(path).slice('access.log'.length));
    expect(names).toEqual(['', '.1', '.2.gz', '-20261101', '-20261031.gz']);
  });

  test('are read line by line, gzipped or not, also an end without a newline', async () => {
    const lines = Array.from({ length: 5_000 }, (_, index) => `line ${index} ${'x'.repeat(index % 97)}`);
    writeFileSync(log, lines.join('\n'));
    writeFileSync(`${log}.1.gz`, gzipSync(`${lines.join('\n')}\n`));
    expect(await Array.fromAsync(linesOf(log))).toEqual(lines);
    expect(await Array.fromAsync(linesOf(`${log}.1.gz`))).toEqual(lines);
  });

  test('over all the time: the last request for a digest counts, in whatever line', async () => {
    lay(log, now - 3 * hour, now - hour, now - 2 * hour);
    lay(`${log}.1`, since - hour, since + hour);
    expect(await imageUse([log], since, now)).toEqual({
      lastAsked: new Map([[hex, now - hour]]),
      lastPaths: new Map([[image, now - hour]]),
      unparsable: new Map(),
      doubts: [],
    });
    appendFileSync(log, `garbage ${hex.toUpperCase()}\n`);
    const { lastAsked, unparsable } = await imageUse([log], since, now);
    expect([lastAsked.get(hex), unparsable]).toEqual([now, new Map([[log, 1]])]);
  });

  test('before that time do not count', async () => {
    lay(`${log}.2.gz`, since - day, since - hour);
    writeFileSync(log, logLine(now - hour, { request: 'GET /os/other/rootimg.sfs HTTP/1.1' }));
    expect(await imageUse([log], since, now)).toEqual({
      lastAsked: new Map(),
      lastPaths: new Map([['/os/other/rootimg.sfs', now - hour]]),
      unparsable: new Map(),
      doubts: [],
    });
  });

  test.each<[string, () => void, RegExp]>([
    ['no log', () => rmSync(log), /cannot be read: no such file/],
    ['an empty one', () => writeFileSync(log, ''), /no line in the common or combined format/],
    ['another format', () => writeFileSync(log, `{"uri":"${image}"}\n`), /no line in the common/],
    ['it begins too late', () => lay(log, since + hour, now - hour), /begin only at 2026-11-16T04/],
    ['it ends too early', () => lay(log, since - hour, now - heartbeatWithinMs - 1000), /may be writing to another/],
    ['its end lies in the future', () => lay(log, since - hour, now + 3 * hour), /is the clock right/],
    ['a rotated one is damaged', () => writeFileSync(`${log}.1.gz`, gzipSync('x').subarray(0, 12)), /cannot be read: /],
    ['one endless line', () => appendFileSync(log, 'x'.repeat(3 << 20)), /more than 1048576 bytes/],
    [
      'no request for any image',
      () =>
        writeFileSync(
          log,
          logLine(since - hour, { request: 'GET / HTTP/1.1' }) + logLine(now - hour, { request: 'GET / HTTP/1.1' }),
        ),
      /no request for any image .* in access\.log/,
    ],
    [
      'requests for images that failed, and no other',
      () =>
        writeFileSync(
          log,
          logLine(since - hour, { request: '-' }) +
            logLine(now - hour, { request: `GET ${image} HTTP/1.1`, status: 404 }),
        ),
      /no request for any image/,
    ],
  ])('in doubt: %s', async (_, spoil, doubt) => {
    lay(log, since - hour, now - hour);
    expect((await imageUse([log], since, now)).doubts).toEqual([]);
    spoil();
    expect((await imageUse([log], since, now)).doubts).toEqual([expect.stringMatching(doubt)]);
  });

  test('of which one is in doubt are in doubt', async () => {
    lay(log, since - hour, now - hour);
    const young = join(directory.path, 'ssl.log');
    lay(young, now - hour);
    expect((await imageUse([log, young], since, now)).doubts).toEqual([expect.stringContaining('ssl.log')]);
  });
});
