/** `tetherfs bench`, as it is run. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { reportSchema } from '../../src/measure/index.ts';
import { establishedTo } from '../members/established.ts';
import { makeImage } from '../members/site.ts';
import { HeldMount } from '../mount/held-mount.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const directory = makeTempDir();
const at = (...path: string[]) => join(directory.path, ...path);
let one: Nginx;
let two: Nginx;

beforeAll(async () => {
  writeFileSync(at('other.json'), '{"report": 99}');
  for (const name of ['public', 'mounted']) mkdirSync(at(name));
  writeFileSync(at('public/rootimg.sfs'), makeImage(5_000_000));
  one = await Nginx.start({ address: '127.0.0.11', publicDir: at('public') });
  two = await Nginx.start({ address: '127.0.0.12', publicDir: at('public') });
});
afterAll(async () => {
  await one?.close();
  await two?.close();
  directory.remove();
});

function bench(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(tetherfsCommand, ['bench', ...words], { encoding: 'utf8' });
}

test('a table of 80 columns, and all of it as JSON; a line says what it will do', () => {
  const file = at('report.json');
  writeFileSync(file, 'an older one');
  const page = at('page.html');
  const { status, stdout, stderr } = bench(
    '--quick',
    '--json',
    file,
    '--html',
    page,
    one.url('rootimg.sfs'),
    two.url('rootimg.sfs'),
  );
  expect(stderr).toMatch(
    /^tetherfs: measuring 2 members, for some \d+ s: at most 4 MiB without a pause, 100 Mbit\/s on average \(--full .*\)\n$/,
  );
  expect(status).toBe(0);
  const report = reportSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  expect(report.complete).toBe(true);
  const [, inPage = ''] = /id="report">(.*)<\/script>/.exec(readFileSync(page, 'utf8')) ?? [];
  expect(JSON.parse(inPage)).toEqual(report);
  expect(report.members.map(({ url }) => url)).toEqual([one.url('rootimg.sfs'), two.url('rootimg.sfs')]);
  const lines = stdout.split('\n');
  expect(lines.filter((line) => line.length > 80)).toEqual([]);
  expect(lines).toContainEqual(
    expect.stringMatching(/^member +set-up +4 KiB +p99 +loaded +128 KiB +1 MiB +MB\/s +by 8$/),
  );
  const figure = report.members[0]?.ranges[0]?.firstByte?.p50.value ?? 0;
  const row = lines.find((line) => line.startsWith('127.0.0.11')) ?? '';
  expect(row.split(/ +/)[2]).toBe(String(Number(figure.toPrecision(3))));
  expect(lines.some((line) => line.startsWith('all together'))).toBe(true);
  expect(stdout.replaceAll('\n', ' ')).toMatch(
    /the selection took of the bytes: \d+ % 127\.0\.0\.11, \d+ % 127\.0\.0\.12\./,
  );
  expect(readdirSync(directory.path).filter((name) => name.startsWith('report'))).toEqual(['report.json']);
});

test('JSON alone on standard output; members of a file', () => {
  writeFileSync(at('members'), `# ours\n${two.url('rootimg.sfs')}\n`);
  const { status, stdout } = bench('--quick', '--json', '-', '--members-from', at('members'));
  expect(status).toBe(0);
  expect(reportSchema.parse(JSON.parse(stdout)).members).toMatchObject([{ url: two.url('rootimg.sfs'), errors: [] }]);
});

test('the members of a running mount', async () => {
  const options = ['--allow-unverified'];
  await using held = await HeldMount.make({ urls: [two.url('rootimg.sfs')], mountpoint: at('mounted'), options });
  const { status, stdout } = bench('--quick', '--mount', held.mountpoint, '--json', '-');
  expect(status).toBe(0);
  expect(reportSchema.parse(JSON.parse(stdout)).members).toMatchObject([{ url: two.url('rootimg.sfs'), errors: [] }]);
});

test('against an earlier run; and limits that a member does not keep: exit status 3, a line each', () => {
  const { status, stdout, stderr } = bench(
    ...['--quick', one.url('rootimg.sfs'), '--against', at('report.json')],
    ...['--fail-if', 'first-byte=10s', '--fail-if', 'first-byte-p90=0us', '--fail-if', 'errors=0'],
  );
  expect(status).toBe(3);
  expect(stdout).toMatch(/^Against \S+, \S+Z: of \d+ figures \d+ are worse by more than noise,/m);
  expect(stdout).toContain('127.0.0.12 was measured then, not now.');
  const said = stderr.split('\n').filter((line) => line.includes('does not keep'));
  expect(said).toEqual([
    expect.stringMatching(/^tetherfs: http:\/\/127\.0\.0\.11\/\S+ does not keep first-byte-p90=0us: it is [\d.]+ ms$/),
  ]);
});

describe('ended early', () => {
  const processes: ChildProcess[] = [];
  afterAll(() => {
    for (const child of processes) child.kill('SIGKILL');
  });

  test('Ctrl-C: what has been measured is shown, and nothing is left', async () => {
    const child = spawn(tetherfsCommand, ['bench', '--wide', '--json', at('early.json'), one.url('rootimg.sfs')]);
    processes.push(child);
    let stdout = '';
    child.stdout.on('data', (text: Buffer) => {
      stdout += text;
    });
    one.forget();
    await waitUntil(
      'ranges are asked for',
      () => one.requests().filter(({ bodyBytes }) => bodyBytes === 4_096).length > 50,
    );
    child.kill('SIGINT');
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(stdout).toMatch(/^member +range +depth +load +samples +first byte p50/m);
    expect(stdout).toContain('Interrupted: this is what had been measured by then.');
    expect(reportSchema.parse(JSON.parse(readFileSync(at('early.json'), 'utf8'))).complete).toBe(false);
    await waitUntil('no connection is left', () => establishedTo('127.0.0.11') === 0);
  });
});

test('no member answers: rows, and exit status 1', () => {
  const { status, stdout } = bench('--quick', 'http://127.0.0.13/os/demo/rootimg.sfs', one.url('absent.sfs'));
  expect(status).toBe(1);
  expect(stdout).toContain('127.0.0.13 was left out: nothing listens at 127.0.0.13 port 80');
  expect(stdout).toMatch(/^127\.0\.0\.11 was left out: .*404/m);
});

test.each([
  [['one.example/rootimg.sfs'], 'one.example/rootimg.sfs is no http:// or https:// URL'],
  [['htps://h/x.sfs?sig=SECRET'], 'htps://h/x.sfs is no http:// or https:// URL\n'],
  [['--json', '/dev/null', 'http://127.0.0.11/x'], '--json /dev/null: it is no regular file'],
  [['--html', '/tmp', 'http://127.0.0.11/x'], '--html /tmp: it is no regular file'],
  [[], 'name members: URLs of an image, --members-from FILE, or --mount MOUNTPOINT'],
  [['--quick', '--full', 'http://127.0.0.11/x'], "option '--quick' cannot be used with option '--full'"],
  [['--json', '/absent/report.json', 'http://127.0.0.11/x'], '--json /absent/report.json: no file can be made there'],
  [['--fail-if', 'first-byte=5', 'http://127.0.0.11/x'], 'give first-byte in us, ms, s'],
  [['--against', '/absent', 'http://127.0.0.11/x'], '--against /absent: no such file'],
  [['--against', '/etc/hostname', 'http://127.0.0.11/x'], '--against /etc/hostname: it is not JSON'],
  [['--against', at('other.json'), 'http://127.0.0.11/x'], 'it is no report of tetherfs bench that this version reads'],
  [['--members-from', '/absent', 'http://127.0.0.11/x'], '/absent'],
])('bench %j: a line, and exit status 2', (words, said) => {
  const { status, stdout, stderr } = bench(...words);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toContain(said);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(existsSync('/absent')).toBe(false);
});
