/** The page of a report, in a real browser without a network. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Report, renderPage } from '../../src/measure/index.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { about, memberWith, reportOf, steady } from './reports.ts';

const hostile = '</script><script>document.title = "taken"</script><img src=x onerror="alert(1)">';
const report: Report = reportOf(
  memberWith('http://10.0.0.1/os/rootimg.sfs', about(1), steady(2_000_000)),
  {
    ...memberWith('http://10.0.0.2/os/rootimg.sfs', about(20), steady(500_000, 60)),
    errors: [{ kind: 'status', count: 2, example: hostile }],
  },
  // A single stretch, which is a point and no line.
  memberWith('http://10.0.0.3/os/rootimg.sfs', [3, 3.5], steady(3_000_000, 1)),
);
/** Those that keep it from asking for anything on the network. */
const quiet = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
];

const directory = makeTempDir();
const file = join(directory.path, 'page.html');
/** For its sockets, whose paths must be short; a sandbox' own /run. */
const shortPlace = mkdtempSync('/run/browser-');
let browser: Browser;
beforeAll(async () => {
  writeFileSync(file, renderPage(report));
  const env = { ...process.env, TMPDIR: shortPlace };
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: quiet, env });
});
afterAll(async () => {
  await browser?.close();
  rmSync(shortPlace, { recursive: true, force: true });
  directory.remove();
});

type Look = Parameters<Browser['newPage']>[0];

/** Opens it; what its console says, and what it asks for beside itself, comes with it. */
async function open(look: Look = {}): Promise<{ page: Page; said: string[]; asked: string[] }> {
  const page = await browser.newPage({ offline: true, ...look });
  const said: string[] = [];
  const asked: string[] = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(error.message));
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(pathToFileURL(file).href);
  return { page, said, asked: asked.filter((url) => !/^(file:.*page\.html|data:,)$/.test(url)) };
}

/** Run in the page. */
const countPixels = `(number) => {
  const colour = getComputedStyle(document.documentElement).getPropertyValue('--line-' + number);
  const wanted = /#(..)(..)(..)/.exec(colour).slice(1).map((hex) => Number.parseInt(hex, 16));
  return [...document.querySelectorAll('canvas')].map((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4)
      if (wanted.every((value, channel) => Math.abs(data[at + channel] - value) < 3)) count++;
    return count;
  });
}`;

/** Pixels of each chart's canvas that have the colour of that line, as the style says it. */
function drawn(page: Page, line: number): Promise<number[]> {
  return page.evaluate(`(${countPixels})(${line})`);
}

test.each<[string, Look]>([
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['on a small screen', { viewport: { width: 400, height: 700 } }],
])('%s: every line of every chart is drawn, and nothing is amiss', async (_, look) => {
  const { page, said, asked } = await open(look);
  expect(said).toEqual([]);
  expect(asked).toEqual([]);
  expect(await page.locator('.chart canvas').count()).toBe(2);
  for (const line of [0, 1, 2]) for (const pixels of await drawn(page, line)) expect(pixels).toBeGreaterThan(5);
  expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  await page.close();
});

test('what it shows are the numbers of the report, which is in it whole', async () => {
  const { page } = await open();
  const rows = await page
    .locator('#summary tbody tr')
    .evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));
  const three = (value: number | null | undefined) => (value == null ? '-' : String(Number(value.toPrecision(3))));
  expect(rows).toEqual(
    report.members.map(({ url, ranges: [cell], throughput: [one] }) => [
      ...[
        new URL(url).host,
        '-',
        three(cell?.firstByte?.p50.value),
        three(cell?.firstByte?.p99?.value),
        '-',
        '-',
        '-',
        '-',
      ],
      three((one?.rate ?? 0) / 1e6),
    ]),
  );
  expect(JSON.parse((await page.locator('#report').textContent()) ?? '')).toEqual(report);
  const text = await page.locator('body').textContent();
  expect(text).toContain('10.0.0.2 is slow: first byte of 4 KiB 24 ms, 20 times worse than 10.0.0.1 (1.2 ms).');
  // Pointing at a chart tells the numbers there.
  await page.locator('.chart .u-over').first().hover();
  const value = page.locator('.chart').first().locator('.u-value').first();
  await expect.poll(() => value.textContent()).toMatch(/\d/);
  await page.close();
});

test('what members say is text', async () => {
  const { page, said } = await open();
  expect(said).toEqual([]);
  expect(await page.title()).toMatch(/^Members: 3 members from n1/);
  expect(await page.locator('body').textContent()).toContain(`2 x status: ${hostile}`);
  expect(await page.locator('img').count()).toBe(0);
  await page.close();
});

test('on paper it is dark on white, also for who has a dark screen', async () => {
  const { page, said } = await open({ colorScheme: 'dark' });
  const colours = () =>
    page.evaluate('(({ backgroundColor, color }) => [backgroundColor, color])(getComputedStyle(document.body))');
  expect(await colours()).toEqual(['rgb(18, 22, 27)', 'rgb(227, 232, 238)']);
  await page.emulateMedia({ media: 'print' });
  expect(await colours()).toEqual(['rgb(255, 255, 255)', 'rgb(27, 31, 36)']);
  // The charts have been drawn again.
  await expect.poll(() => drawn(page, 0).then(([pixels = 0]) => pixels)).toBeGreaterThan(5);
  expect((await page.pdf({ format: 'A4' })).length).toBeGreaterThan(10_000);
  expect(said).toEqual([]);
  await page.close();
});
