/** `tetherfs bench` on the emulated network: its figures against what each link was set to, and against curl. For a machine with nothing else to do. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseFileUrl } from '../../src/base/file-url.ts';
import { carefulPlan, measure, type Report, worseMembers } from '../../src/measure/index.ts';
import { makeTempDir } from '../../test/support/temp-dir.ts';
import { type LinkedMembers, startLinkedMembers } from '../network/linked-members.ts';
import type { LinkSettings } from '../network/network.ts';
import { median } from '../support/figures.ts';

const run = promisify(execFile);

/** Payload of a frame of 1514 bytes. */
const payload = 1_448 / 1_514;

/** Medians of ranges of 4 KiB over one connection, and of connections. */
async function curlTimes(url: string): Promise<{ firstByteMs: number; connectMs: number }> {
  const format = '%{time_pretransfer} %{time_starttransfer} %{time_connect}\n';
  const ask = async (count: number) => {
    const words = Array.from({ length: count }, () => ['-o', '/dev/null', url]).flat();
    const { stdout } = await run('curl', ['-sS', '-r', '4096-8191', '-w', format, ...words]);
    return stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map((seconds) => Number(seconds) * 1_000));
  };
  const [, ...ranges] = await ask(100);
  const connections: number[] = [];
  for (let made = 0; made < 20; made++) connections.push((await ask(1))[0]?.[2] ?? 0);
  return {
    firstByteMs: median(ranges.map(([before = 0, first = 0]) => first - before)),
    connectMs: median(connections),
  };
}

describe.each<[string, LinkSettings[]]>([
  [
    'one of three is slow',
    [
      { megabits: 200, rttMs: 1 },
      { megabits: 200, rttMs: 1 },
      { megabits: 50, rttMs: 20 },
    ],
  ],
  [
    'each is another',
    [
      { megabits: 400, rttMs: 2 },
      { megabits: 100, rttMs: 5 },
      { megabits: 200, rttMs: 10 },
    ],
  ],
])('%s', (_, links) => {
  const directory = makeTempDir('accuracy');
  let linked: LinkedMembers;
  let report: Report;

  beforeAll(async () => {
    mkdirSync(join(directory.path, 'os'));
    writeFileSync(join(directory.path, 'os/rootimg.sfs'), randomBytes(64 << 20));
    linked = await startLinkedMembers({ publicDir: directory.path, path: 'os/rootimg.sfs' }, links);
    const { signal } = new AbortController();
    // Nobody else is on these links.
    const plan = { ...carefulPlan, cellMs: 1_500, rate: null };
    report = await measure({ urls: linked.urls.map(parseFileUrl), plan, version: 'check', signal });
  }, 300_000);
  afterAll(async () => {
    await linked?.[Symbol.asyncDispose]();
    directory.remove();
  });

  test('times are within 5 % and 0.2 ms of what curl takes on the same link, and no less than the link', async () => {
    for (const [index, { rttMs }] of links.entries()) {
      const { setUp, ranges } = report.members[index] ?? { setUp: null, ranges: [] };
      const firstByte = ranges.find(({ size, depth, loaded }) => size === 4_096 && depth === 1 && !loaded)?.firstByte;
      const curl = await curlTimes(linked.urls[index] ?? '');
      for (const [what, found, expected] of [
        ['first byte', firstByte?.p50.value, curl.firstByteMs],
        ['connection', setUp?.connect?.p50.value, curl.connectMs],
      ] as const) {
        console.log(`${what}: ${found?.toFixed(2)} ms, curl ${expected.toFixed(2)}, link ${rttMs}`);
        expect(found).toBeGreaterThan(rttMs * 0.95);
        expect(found).toBeGreaterThan(expected * 0.95 - 0.2);
        expect(found).toBeLessThan(expected * 1.05 + 0.2);
      }
    }
  });

  test('rates are right within 5 %', () => {
    for (const [index, { megabits }] of links.entries()) {
      const set = (megabits * 1e6 * payload) / 8;
      for (const { connections, rate } of report.members[index]?.throughput ?? []) {
        console.log(`${connections} connections: ${((rate ?? 0) / 1e6).toFixed(1)} MB/s of ${(set / 1e6).toFixed(1)}`);
        expect(rate).toBeGreaterThan(set * 0.95);
        expect(rate).toBeLessThan(set * 1.05);
      }
    }
  });

  test('those that are worse than the best are named, no others', () => {
    const best = Math.min(...links.map(({ rttMs }) => rttMs));
    const worse = linked.urls.filter((_, index) => (links[index]?.rttMs ?? 0) > best * 1.5);
    expect(
      worseMembers(report)
        .map(({ url }) => url)
        .sort(),
    ).toEqual(worse.sort());
  });
});
