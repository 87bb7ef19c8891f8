/** Every command line of the README, as it stands there, on a machine as it implies. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Nginx } from '../support/nginx.ts';

const checkout = fileURLToPath(new URL('../../', import.meta.url));
const readme = readFileSync(join(checkout, 'README.md'), 'utf8');
const blocks = [...readme.slice(readme.indexOf('`npm run setup`')).matchAll(/^```(sh|nginx)\n(.*?)^```$/gms)];
/** Of the block before, which would run this very test. */
const commands = /^```sh\n(.*?)^```$/ms.exec(readme)?.[1] ?? '';
const scripts = blocks.filter(([, language]) => language === 'sh').map(([, , text = '']) => text);
const location = blocks.find(([, language]) => language === 'nginx')?.[2] ?? '';

/** What of the machine the lines write to: the sandbox's own, for this test. */
const places = ['/srv', '/mnt', '/root', '/usr/local/bin', '/var/lib/confluent', '/var/log/nginx'];
const publicDir = '/var/lib/confluent/public';
const members: Nginx[] = [];

beforeAll(async () => {
  for (const place of places) {
    mkdirSync(place, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', 'none', place]);
  }
  for (const address of ['10.0.0.1', '10.0.0.2']) {
    execFileSync('ip', ['address', 'add', `${address}/32`, 'dev', 'lo']);
    members.push(await Nginx.start({ address, publicDir }));
  }
  mkdirSync('/srv/root/etc', { recursive: true });
  writeFileSync('/srv/root/etc/hostname', 'node\n');
  // A server that has been logging for long.
  const line = (date: Date) => `10.0.0.9 - - [${commonDate(date)}] "GET / HTTP/1.1" 200 1 "-" "-"\n`;
  const days = Array.from({ length: 9 }, (_, index) => new Date(Date.now() - (9 - index) * 86_400_000));
  writeFileSync('/var/log/nginx/access.log', [...days, new Date()].map(line).join(''));
}, 60_000);

afterAll(async () => {
  for (const member of members) await member.close();
  for (const place of places.reverse()) execFileSync('umount', ['--lazy', place]);
});

function commonDate(date: Date): string {
  const [, day, month, year, time] = /, (\d+) (\w+) (\d+) ([\d:]+)/.exec(date.toUTCString()) ?? [];
  return `${day}/${month}/${year}:${time} +0000`;
}

let digest = 'sha256:unknown';
/** Runs a block in a directory; it ends at the first line that fails. */
function run(script: string, cwd: string): string {
  const text = `set -ex\n${script.replaceAll('sha256:…', digest)}`;
  const { status, stdout, stderr } = spawnSync('sh', ['-c', text], { cwd, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/^\+ /) });
  return stdout;
}

it('does what it says', { timeout: 120_000 }, () => {
  // As test/support/nginx-config.ts has it.
  expect(location.trim()).toBe(`location /confluent-public/ { alias ${publicDir}/; }`);
  const [link, pack, node, server, gc, urlmount, ...others] = scripts;
  expect(others).toEqual([]);
  run(link ?? '', checkout);
  const packed = run(pack ?? '', '/root');
  digest = /^digest +(\S+)$/m.exec(packed)?.[1] ?? '';
  cpSync(/^key +(\S+)$/m.exec(packed)?.[1] ?? '', '/root/rootimg.key');
  expect(
    run(`${node?.replace('umount /mnt/root', 'cat /mnt/root/etc/hostname\numount /mnt/root')}`, '/root'),
  ).toContain('\nnode\n');
  run(server ?? '', '/root');
  // An image of this hour is never collected.
  const refused = spawnSync('sh', ['-c', gc ?? ''], { encoding: 'utf8' });
  expect(refused).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/nothing was removed: .* less than two hours ago/),
  });
  run(urlmount ?? '', '/root');
});

it('what it says first is what CI runs', () => {
  const lines = commands.split('\n').map((line) => line.replace(/ *#.*/, ''));
  const run = readFileSync(join(checkout, '.ci/run'), 'utf8').split('\n');
  for (const line of lines.filter(Boolean))
    expect(run.some((one) => one.includes(line) && !one.startsWith('#'))).toBe(true);
  expect(lines).toEqual(['npm run demo', 'npm test', '']);
});
