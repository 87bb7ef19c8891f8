/** A boot, replayed from its trace by all members, and without each. */
import { linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestName } from '../../src/base/digest-name.ts';
import { parseFileUrl } from '../../src/base/file-url.ts';
import { hexOf } from '../../src/image/digest.ts';
import { formatTrace } from '../../src/image/trace.ts';
import { VerityBuilder } from '../../src/image/verity-builder.ts';
import { carefulPlan, givenTrace, measure, type Plan, renderPage, renderReport } from '../../src/measure/index.ts';
import { losses } from '../../src/measure/summary.ts';
import { makeImage } from '../members/site.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { rangesOf } from './asked.ts';

const chunkSize = 65_536;
const image = makeImage(40 * chunkSize);
/** In no order, and the first run longer than one request. */
const traced = [...Array.from({ length: 12 }, (_, i) => 20 + i), 3, 1, 39];
const plan: Plan = {
  ...{ ...carefulPlan, sizes: [4_096], depths: [1], loadedDepths: [], setUps: 1, parallel: 2 },
  ...{ cellMs: 20, cellBytes: null, rate: null, replays: 2, stallMs: 2_000 },
};

const directory = makeTempDir();
const at = (...path: string[]) => join(directory.path, ...path);
const builder = new VerityBuilder();
builder.update(image);
const { digest, sidecar } = builder.finish();
const text = formatTrace({ digest, imageSize: image.length, chunkSize, chunks: Uint32Array.from(traced) });
const traceFile = at('public', `${digestName('rootimg.sfs', hexOf(digest))}.trace`);
let quick: Nginx;
let slow: Nginx;
const urls = () => [quick.url('rootimg.sfs'), slow.url('rootimg.sfs')];
const run = (more: Partial<Parameters<typeof measure>[0]> = {}) =>
  measure({ urls: urls().map(parseFileUrl), plan, version: 'test', signal: new AbortController().signal, ...more });

beforeAll(async () => {
  mkdirSync(at('public'));
  writeFileSync(at('public/rootimg.sfs'), image);
  writeFileSync(at('public/rootimg.sfs.fsverity'), sidecar);
  linkSync(at('public/rootimg.sfs'), at('public', digestName('rootimg.sfs', hexOf(digest))));
  writeFileSync(at('given.trace'), text);
  quick = await Nginx.start({ address: '127.0.0.11', publicDir: at('public') });
  // A second and more for what the other brings at once.
  slow = await Nginx.start({ address: '127.0.0.12', publicDir: at('public'), location: 'limit_rate 400k;' });
});
afterAll(async () => {
  await quick?.close();
  await slow?.close();
  directory.remove();
});

test('a trace that is offered: how long it takes, and what the loss of each member costs', async () => {
  writeFileSync(traceFile, text);
  const report = await run();
  rmSync(traceFile);
  const { replay } = report;
  expect(replay).toMatchObject({ bytes: traced.length * chunkSize, requests: 2 + 1 + 1 + 1 });
  expect(replay?.runs.map(({ without, ms, errors }) => [without, ms.length, errors])).toEqual([
    [null, plan.replays, []],
    [urls()[0], plan.replays, []],
    [urls()[1], plan.replays, []],
  ]);
  const [quickLost, slowLost] = losses(report);
  expect(quickLost?.factor).toBeGreaterThan(2);
  expect(slowLost?.ms).toBeLessThan((quickLost?.ms ?? 0) / 2);
  const said = renderReport(report).replaceAll('\n', ' ');
  expect(said).toMatch(
    /What a boot reads \(0\.983 MB of its trace\) takes [\d.]+ ms; \d+ ms without 127\.0\.0\.11 \([\d.]+ times\), /,
  );
  expect(renderPage(report)).toMatch(/<table id="losses">[\s\S]*<td>127\.0\.0\.11<\/td>/);
});

test('one that is given; what is asked for is what it lists, each once, and no more than the plan allows', async () => {
  expect((await run()).replay).toBe(null);
  quick.forget();
  slow.forget();
  const report = await run({
    trace: givenTrace(at('given.trace')),
    plan: { ...plan, cellBytes: 13 * chunkSize, replays: 1 },
  });
  expect(report.replay).toMatchObject({ bytes: 13 * chunkSize, requests: 3 });
  // Without the slow one: all of it from the quick one, after what came from both.
  const asked = rangesOf(quick)
    .filter(([from = 0, to = 0]) => (to - from + 1) % chunkSize === 0)
    .map(([from = 0, to = 0]) => [from / chunkSize, (to - from + 1) / chunkSize]);
  expect(asked.slice(-3).sort(([a = 0], [b = 0]) => a - b)).toEqual([
    [3, 1],
    [20, 8],
    [28, 4],
  ]);
});

test('a trace of another image is refused, and one without anything in it replays nothing', async () => {
  const other = formatTrace({ digest, imageSize: image.length + 1, chunkSize, chunks: Uint32Array.from([1]) });
  writeFileSync(at('other.trace'), other);
  await expect(run({ trace: givenTrace(at('other.trace')) })).rejects.toThrow(
    `the trace is of an image of ${image.length + 1} bytes, and what members serve has ${image.length}`,
  );
  writeFileSync(
    at('empty.trace'),
    formatTrace({ digest, imageSize: image.length, chunkSize, chunks: new Uint32Array() }),
  );
  expect((await run({ trace: givenTrace(at('empty.trace')) })).replay).toBe(null);
});

test('a trace that is none is refused', () => {
  writeFileSync(at('other'), 'no trace\n');
  expect(() => givenTrace(at('other'))).toThrow(/^--trace \S+other: .*line 1/);
  expect(() => givenTrace(at('absent'))).toThrow('no such file');
});
