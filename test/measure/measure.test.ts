/** Real members, measured: what comes out is told by what they are, and nothing is left of it. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseFileUrl } from '../../src/base/file-url.ts';
import {
  carefulPlan,
  type MeasureOptions,
  measure,
  type Plan,
  type Report,
  renderReport,
  reportSchema,
  worseMembers,
} from '../../src/measure/index.ts';
import { establishedTo } from '../members/established.ts';
import { MisbehavingServer } from '../members/misbehaving-server.ts';
import { makeImage } from '../members/site.ts';
import { makeCertificateAuthority } from '../support/certificates.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { rangesOf } from './asked.ts';

const kib = 1_024;
const image = makeImage(3 * 1_024 * kib + 100);
/** As little as there can be of everything. */
const plan: Plan = {
  ...carefulPlan,
  ...{ setUps: 3, parallel: 3, cellMs: 100, cellBytes: 2 * 1_024 * kib, rate: null, replays: 1, stallMs: 1_000 },
};
/** Rows of ranges: each size at each depth, and once more at each depth under load. */
const rows = 3 * 3 + 3;

function run(urls: readonly string[], more: Partial<MeasureOptions> = {}): Promise<Report> {
  const { signal } = new AbortController();
  return measure({ urls: urls.map(parseFileUrl), plan, version: 'test', signal, ...more });
}

/** Each time that what is measured begins with these words. */
function whenItComesTo(words: string, change: () => void): MeasureOptions['onProgress'] {
  return (_, what) => {
    if (what.startsWith(words)) change();
  };
}

describe('members that are well', () => {
  const directory = makeTempDir();
  afterAll(() => directory.remove());
  const publicDir = join(directory.path, 'public');
  mkdirSync(publicDir);
  writeFileSync(join(publicDir, 'rootimg.sfs'), image);

  test('http and https: every figure is there, they are no slower than what they are made of, and no connection is left', async () => {
    const authority = makeCertificateAuthority(join(directory.path, 'ca'));
    const addresses = ['127.0.0.11', '127.0.0.12'];
    const certificate = authority.issue(addresses);
    await using one = await Nginx.start({ address: '127.0.0.11', publicDir, certificate });
    await using two = await Nginx.start({ address: '127.0.0.12', publicDir, certificate });
    const shares: number[] = [];
    const report = await run([one.url('rootimg.sfs'), two.url('rootimg.sfs', 'https')], {
      ca: [authority.pem],
      onProgress: (share) => shares.push(share),
    });
    expect(reportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
    expect(report).toMatchObject({
      complete: true,
      members: [{ imageSize: image.length }, { imageSize: image.length }],
    });
    const [plain, secure] = report.members;
    expect(plain?.setUp).toMatchObject({ connect: { samples: plan.setUps }, tls: null });
    expect(secure?.setUp).toMatchObject({ connect: { samples: plan.setUps }, tls: { samples: plan.setUps } });
    for (const place of [...report.members, report.together]) {
      expect(place?.errors).toEqual([]);
      expect(place?.ranges).toHaveLength(rows);
      for (const { firstByte, whole } of place?.ranges ?? []) {
        expect(firstByte?.samples).toBe(whole?.samples);
        expect(firstByte?.p50.value).toBeLessThanOrEqual(whole?.p50.value ?? 0);
      }
      expect(place?.throughput.map(({ connections }) => connections)).toEqual([1, plan.parallel]);
      for (const { bytes, rate, ms, series } of place?.throughput ?? []) {
        expect(series.reduce((sum, one) => sum + one, 0)).toBe(bytes);
        expect(bytes).toBeGreaterThan(0);
        expect(rate).toBe(ms > 0 ? (bytes * 1_000) / ms : null);
      }
    }
    // On a machine with much else to do one may have been late a moment ago.
    for (const { state } of report.together?.choice ?? []) expect(['up', 'suspect']).toContain(state);
    expect(report.together?.choice).toHaveLength(2);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(shares[0]).toBe(0);
    expect(shares.at(-1)).toBeLessThan(1);
    await waitUntil('no connection is left', () => addresses.every((address) => establishedTo(address) === 0));
    // Each set-up is one of its own: none resumes the session of another.
    two.forget();
    await run([two.url('rootimg.sfs', 'https')], { ca: [authority.pem] });
    expect(two.requests().some(({ resumed, tls }) => resumed && tls !== '')).toBe(false);
  });

  test('ranges are asked for as the plan says, no more than its bytes, and of the whole image', async () => {
    await using one = await Nginx.start({ address: '127.0.0.11', publicDir });
    await run([one.url('rootimg.sfs')], {
      plan: { ...plan, cellMs: 20_000, sizes: [4 * kib, 8 * kib], depths: [2], loadedDepths: [] },
    });
    const small = rangesOf(one).filter(([from = 0, to = 0]) => to - from + 1 === 8 * kib);
    // The cell ends when its bytes are used up.
    expect(small).toHaveLength((plan.cellBytes ?? 0) / (8 * kib));
    expect(Math.min(...small.map(([from = 0]) => from))).toBeLessThan(image.length * 0.1);
    expect(Math.max(...small.map(([from = 0]) => from))).toBeGreaterThan(image.length * 0.9);
    expect(small.every(([from = 0]) => from % 4096 === 0)).toBe(true);
    // Of one member there is nothing together.
    expect((await run([one.url('rootimg.sfs')])).together).toBe(null);
  });

  test('the rate of the plan holds: what was asked for is waited for', async () => {
    await using one = await Nginx.start({ address: '127.0.0.11', publicDir });
    const rate = 20 * kib * kib;
    const report = await run([one.url('rootimg.sfs')], { plan: { ...plan, rate } });
    const bytes = one.requests().reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
    expect(bytes / report.seconds).toBeLessThan(rate * 1.05);
  });

  test('under load is asked for while the load lasts, no longer', async () => {
    await using one = await Nginx.start({ address: '127.0.0.11', publicDir });
    const { ranges } = (
      await run([one.url('rootimg.sfs')], {
        plan: { ...plan, cellMs: 20_000, sizes: [4 * kib], depths: [], loadedDepths: [2] },
      })
    ).members[0] ?? { ranges: [] };
    const lengths = rangesOf(one).map(([from = 0, to = 0]) => to - from + 1);
    const loading = Math.ceil((plan.cellBytes ?? 0) / (plan.parallel * 4));
    // Before it the lanes' first bytes; behind it what was under way.
    const loaded = lengths.slice(lengths.lastIndexOf(1) + 1);
    expect(loaded.filter((length) => length === loading).length).toBeGreaterThan(plan.parallel);
    expect(loaded.length - 1 - loaded.lastIndexOf(loading)).toBeLessThanOrEqual(2 * 2);
    expect(ranges).toMatchObject([{ loaded: true, lanesLost: 0 }]);
    expect(ranges[0]?.whole?.samples).toBe(loaded.filter((length) => length === 4 * kib).length);
  });

  test('members that differ in their query alone are two, and it is not shown', async () => {
    await using one = await Nginx.start({ address: '127.0.0.11', publicDir });
    const url = one.url('rootimg.sfs');
    const tiny = { ...plan, sizes: [4 * kib], depths: [1], loadedDepths: [], cellMs: 20 };
    const report = await run([`${url}?sig=first`, `${url}?sig=second`], { plan: tiny });
    const names = [url, `${url} (2)`];
    expect(report.members.map((member) => member.url)).toEqual(names);
    expect(report.together?.choice.map((member) => member.url)).toEqual(names);
    expect(JSON.stringify(report) + renderReport(report)).not.toMatch(/sig=/);
    expect(new Set(one.requests().map(({ query }) => query))).toEqual(new Set(['sig=first', 'sig=second']));
  });

  test('a hundred runs leave no connection, no file descriptor and no timer', async () => {
    await using one = await Nginx.start({ address: '127.0.0.11', publicDir });
    await using two = await Nginx.start({ address: '127.0.0.12', publicDir });
    const tiny = { ...plan, sizes: [4 * kib], depths: [1], loadedDepths: [], setUps: 1, parallel: 2, cellMs: 5 };
    const urls = [one.url('rootimg.sfs'), two.url('rootimg.sfs')];
    const open = () => readdirSync('/proc/self/fd').length;
    const timers = () => process.getActiveResourcesInfo().filter((one) => one === 'Timeout').length;
    const gone = () => establishedTo(one.address) + establishedTo(two.address) === 0;
    await run(urls, { plan: tiny });
    await waitUntil('no connection is left of one', gone);
    const before = { open: open(), timers: timers() };
    for (let runs = 0; runs < 100; runs++) expect((await run(urls, { plan: tiny })).complete).toBe(true);
    await waitUntil('no connection is left', gone);
    await waitUntil('no descriptor is left', () => open() <= before.open);
    await waitUntil('no timer is left', () => timers() <= before.timers);
  });

  test('interrupted, it says what it has', async () => {
    await using one = await Nginx.start({ address: '127.0.0.11', publicDir });
    await using two = await Nginx.start({ address: '127.0.0.12', publicDir });
    const controller = new AbortController();
    const report = await run([one.url('rootimg.sfs'), two.url('rootimg.sfs')], {
      plan: { ...plan, cellMs: 1e6, cellBytes: null },
      signal: controller.signal,
      onProgress: whenItComesTo('4 KiB', () => {
        one.forget();
        void waitUntil('ranges were read', () => one.requests().length > 60).finally(() => controller.abort());
      }),
    });
    expect(reportSchema.parse(report)).toMatchObject({ complete: false, together: null });
    expect(report.members[0]?.setUp?.connect?.samples).toBe(plan.setUps);
    expect(report.members[0]?.ranges).toMatchObject([{ size: 4 * kib, depth: 1 }]);
    expect(report.members[0]?.ranges[0]?.whole?.samples).toBeGreaterThan(10);
    expect(report.members.flatMap(({ errors }) => errors)).toEqual([]);
    expect(renderReport(report)).toContain('Interrupted');
    await waitUntil('no connection is left', () => establishedTo('127.0.0.11') === 0);
  });
});

describe('members that are not', () => {
  test('one that refuses, one that is not there: rows, and the others are measured', async () => {
    await using good = await MisbehavingServer.start(image);
    await using busy = await MisbehavingServer.start(image);
    await using gone = await MisbehavingServer.start(image);
    const urls = [good.url, busy.url, gone.url];
    await gone[Symbol.asyncDispose]();
    busy.behaviour = 'unavailable';
    const report = await run(urls);
    const [first, second, third] = reportSchema.parse(report).members;
    expect(first).toMatchObject({ leftOut: null, errors: [] });
    expect(first?.ranges).toHaveLength(rows);
    expect(second).toMatchObject({ imageSize: null, errors: [{ kind: 'busy', count: 3 }], ranges: [] });
    expect(third).toMatchObject({ imageSize: null, errors: [{ kind: 'connect', count: 3 }], ranges: [] });
    expect(renderReport(report)).toMatch(/^127\.0\.0\.1:\d+ was left out: nothing listens/m);
  });

  test('one that falls silent on the way is left out after two cells, and says why', async () => {
    await using good = await MisbehavingServer.start(image);
    await using bad = await MisbehavingServer.start(image);
    const report = await run([good.url, bad.url], {
      onProgress: whenItComesTo('128 KiB', () => {
        bad.behaviour = 'stall-head';
      }),
    });
    const [first, second] = report.members;
    expect(first?.ranges).toHaveLength(rows);
    expect(second).toMatchObject({ errors: [{ kind: 'timeout' }] });
    expect(second?.leftOut).toMatch(/^(nothing came for 1 s|not all had come after 1\.1 s)$/);
    // One more may have been under way.
    expect(second?.ranges.length).toBeLessThanOrEqual(3 + 3);
    expect(second?.ranges.at(-1)?.whole).toBe(null);
    // Who is left out is not asked with the others: there is only one.
    expect(report.together).toBe(null);
  });

  test('one that fails now and then is measured, and its errors are counted', async () => {
    await using bad = await MisbehavingServer.start(image);
    bad.behaviour = 'unavailable';
    let asked = 0;
    bad.goodWhile = () => asked++ % 20 !== 0;
    // Time for another try after a pause.
    const report = await run([bad.url], { plan: { ...plan, cellMs: 2_000, depths: [1], loadedDepths: [] } });
    expect(report.members[0]?.errors).toMatchObject([{ kind: 'busy' }]);
    expect(report.members[0]?.leftOut).toBe(null);
    expect(report.members[0]?.ranges.every(({ whole }) => whole !== null)).toBe(true);
  });

  test('one of three that is slow is named', async () => {
    await using one = await MisbehavingServer.start(image);
    await using two = await MisbehavingServer.start(image);
    await using slow = await MisbehavingServer.start(image);
    slow.delayMs = 30;
    const report = await run([one.url, two.url, slow.url], {
      plan: { ...plan, cellMs: 600, depths: [1], loadedDepths: [] },
    });
    // First: how the others compare depends on what else this machine does.
    expect(worseMembers(report)[0]).toMatchObject({ url: slow.url, what: 'first byte of 4 KiB', unit: 'ms' });
    expect(renderReport(report)).toMatch(/^127\.0\.0\.1:\d+ is slow: first byte of 4 KiB [\d.]+ ms,/m);
    expect(report.members[2]?.ranges[0]?.firstByte?.p50.value).toBeGreaterThanOrEqual(30);
  });

  const small = { ...plan, sizes: [4 * kib, 256 * kib], depths: [1], loadedDepths: [] };

  test('one that cuts its answers: a range is all of them together', async () => {
    await using capped = await MisbehavingServer.start(image, 'capped');
    capped.delayMs = 5;
    const [member] = (await run([capped.url], { plan: { ...small, cellMs: 1_000 } })).members;
    expect(member?.errors).toEqual([]);
    const large = member?.ranges.find(({ size }) => size === 256 * kib);
    expect(large?.firstByte?.least).toBeGreaterThanOrEqual(4);
    // Four answers of 64 KiB, each 5 ms late, or a little less: a timer counts whole ms.
    expect(large?.whole?.least).toBeGreaterThanOrEqual(16);
  });

  test('one that closes connections that were idle: nobody’s fault', async () => {
    await using server = await MisbehavingServer.start(image, 'close-idle');
    const [member] = (await run([server.url], { plan: small })).members;
    expect(member).toMatchObject({ errors: [], leftOut: null });
    expect(member?.ranges.every(({ whole }) => whole !== null)).toBe(true);
  });

  test('one that lets few ask at once: it is told that the others gave up', async () => {
    await using server = await MisbehavingServer.start(image, 'few-at-once');
    server.delayMs = 20;
    const report = await run([server.url], { plan: { ...small, depths: [8], cellMs: 1_500 } });
    expect(report.members[0]?.ranges[0]?.lanesLost).toBeGreaterThan(0);
    expect(renderReport(report).replaceAll('\n', ' ')).toMatch(/up to \d of those that asked at once got errors alone/);
  });

  test('silence within an answer counts as time', async () => {
    await using server = await MisbehavingServer.start(image);
    const report = await run([server.url], {
      // Long beside how late this process may be.
      plan: { ...small, cellMs: 2_000, stallMs: 5_000 },
      onProgress: whenItComesTo('one connection', () => {
        // A lane's first byte is one of the ends.
        server.beyondEnds = 'stall-body';
      }),
    });
    const [one] = report.members[0]?.throughput ?? [];
    expect(one?.bytes).toBeGreaterThan(0);
    expect(one?.ms).toBeGreaterThanOrEqual(350);
    expect(one?.series.at(-2)).toBe(0);
  });

  test('one that drips does not hold it: what has not come in time is an error', async () => {
    await using server = await MisbehavingServer.start(image);
    const report = await run([server.url], {
      plan: { ...small, stallMs: 2_000 },
      onProgress: whenItComesTo('4 KiB', () => {
        server.behaviour = 'drip';
      }),
    });
    expect(report.members[0]?.errors).toMatchObject([{ kind: 'timeout', example: 'not all had come after 2.1 s' }]);
    expect(report.members[0]?.leftOut).toBe('not all had come after 2.1 s');
  });

  test('another image is told', async () => {
    await using one = await MisbehavingServer.start(image);
    await using other = await MisbehavingServer.start(makeImage(2_000_000));
    const report = await run([one.url, other.url], { plan: { ...plan, depths: [1], loadedDepths: [] } });
    expect(renderReport(report).replaceAll('\n', ' ')).toMatch(
      /Not the same image everywhere: \d+ bytes at 127\.0\.0\.1:\d+, 2000000 bytes at/,
    );
  });
});
