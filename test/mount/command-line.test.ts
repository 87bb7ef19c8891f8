import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { controlPathOf } from '../../src/mount/control-path.ts';
import { isMounted, tetherfsCommand } from '../support/daemon.ts';
import { plainGet } from '../support/plain-http.ts';
import { waitUntil } from '../support/wait-until.ts';
import { Site } from './site.ts';

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 4 });
});
afterEach(() => site.endMounts());
afterAll(() => site[Symbol.asyncDispose]());

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

async function tetherfs(...args: string[]): Promise<Outcome> {
  return run(tetherfsCommand, args);
}

async function run(command: string, args: string[]): Promise<Outcome> {
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args);
    return { status: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, stdout, stderr };
  }
}

// https://github.com/walmartlabs/lumbar/issues/53 is of the same kind: the way out is known, and not said.
describe('where /run cannot be written to', () => {
  it.each([
    ['as it is', () => {}],
    ['though our directory is there', () => mkdirSync('/run/tetherfs', { mode: 0o700 })],
  ])('%s: the line names the way out, which works', async (_, prepare) => {
    rmSync('/run/tetherfs', { recursive: true, force: true });
    prepare();
    execFileSync('mount', ['-o', 'remount,ro', '/run']);
    try {
      const mountpoint = site.newMountpoint();
      const words = ['mount', '--digest', site.digest];
      expect(await tetherfs(...words, ...site.urls(), mountpoint)).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(
          /^tetherfs: .*read-only file system; give another place for the control socket with --control\n$/,
        ),
      });
      const control = site.path('elsewhere.sock');
      expect(await tetherfs(...words, '--control', control, ...site.urls(), mountpoint)).toMatchObject({ status: 0 });
      expect(await tetherfs('unmount', mountpoint)).toMatchObject({ status: 0 });
    } finally {
      execFileSync('mount', ['-o', 'remount,rw', '/run']);
    }
  });
});

describe('a mount in the background', () => {
  it('returns when it can be read, answers to status and metrics, and ends by unmount', async () => {
    const mountpoint = site.newMountpoint();
    const socket = site.path('metrics.sock');
    const options = ['--digest', site.digest, '--metrics', `unix:${socket}`];
    expect(await tetherfs('mount', ...options, ...site.urls(), mountpoint)).toMatchObject({ status: 0, stdout: '' });
    expect(readFileSync(join(mountpoint, 'rootimg.sfs')).equals(site.served)).toBe(true);

    const asked = await tetherfs('status', '--json', mountpoint);
    const status = JSON.parse(asked.stdout) as { pid: number; image: { digest: string } };
    expect(status.image.digest).toBe(site.digest);
    const shown = await tetherfs('status', '--wide');
    for (const url of site.urls()) expect(shown.stdout).toContain(url);

    // Short, but for the path.
    const [path, ...lines] = (await tetherfs('status', mountpoint)).stdout.split('\n');
    expect(path).toBe(join(mountpoint, 'rootimg.sfs'));
    for (const address of ['127.0.0.11', '127.0.0.12']) expect(lines.join('\n')).toContain(`\n${address} `);
    expect(lines.filter((line) => line.length > 80)).toEqual([]);

    const text = await scrape(socket);
    expect(text).toMatch(/^# TYPE tetherfs_read_bytes_total counter$/m);
    expect(text).toMatch(new RegExp(`^tetherfs_read_bytes_total ${site.served.length}$`, 'm'));
    expect(text).toMatch(/^tetherfs_member_state\{member="[^"]+127.0.0.11[^"]+",state="up"\} 1$/m);

    // What keeps it alive through systemd's switch_root, and what it must not hold of its caller's.
    expect(readFileSync(`/proc/${status.pid}/cmdline`, 'utf8')).toMatch(/^@tetherfs\0/);
    expect(readlinkSync(`/proc/${status.pid}/cwd`)).toBe('/');
    expect(statSync(controlPathOf(mountpoint)).mode & 0o777).toBe(0o600);

    expect(await tetherfs('unmount', mountpoint)).toMatchObject({ status: 0 });
    expect(isMounted(mountpoint)).toBe(false);
    expect(existsSync(controlPathOf(mountpoint))).toBe(false);
    expect(existsSync(socket)).toBe(false);
    expect(existsSync(`/proc/${status.pid}`)).toBe(false);
  });

  it('status shows the mounts that answer, and names the daemon that died', async () => {
    const mountpoint = site.newMountpoint();
    const dead = site.newMountpoint();
    expect(await tetherfs('mount', '--digest', site.digest, ...site.urls(), mountpoint)).toMatchObject({ status: 0 });
    const listening = createServer().listen(controlPathOf(dead));
    await once(listening, 'listening');
    // A process that is killed leaves the name of its socket behind; one that closes it does not.
    renameSync(controlPathOf(dead), `${controlPathOf(dead)}.kept`);
    listening.close();
    renameSync(`${controlPathOf(dead)}.kept`, controlPathOf(dead));
    try {
      const shown = await tetherfs('status', '--wide');
      expect(shown.status).toBe(1);
      for (const url of site.urls()) expect(shown.stdout).toContain(url);
      expect(shown.stderr).toContain(`no tetherfs answers at ${controlPathOf(dead)}`);
    } finally {
      rmSync(controlPathOf(dead));
      await tetherfs('unmount', mountpoint);
    }
  });

  it('called urlmount it takes URLs and a mountpoint, warns that nothing is verified, and mounts', async () => {
    const mountpoint = site.newMountpoint();
    const link = site.path('urlmount');
    symlinkSync(join(tetherfsCommand, '../urlmount'), link);
    const mounted = await run(link, [...site.urls(), mountpoint]);
    expect(mounted).toMatchObject({ status: 0, stderr: expect.stringContaining('not verified') });
    expect(readFileSync(join(mountpoint, 'rootimg.sfs')).equals(site.served)).toBe(true);
    expect(await tetherfs('unmount', mountpoint)).toMatchObject({ status: 0 });
  });

  it('the key is in no argument, environment, log or status', async () => {
    const mountpoint = site.newMountpoint();
    const options = ['--digest', site.digest, '--key-file', site.keyFile, '--log-level', 'debug'];
    const mounted = await tetherfs('mount', ...options, ...site.urls(), mountpoint);
    expect(mounted.status).toBe(0);
    const [, key = 'missing'] = readFileSync(site.keyFile, 'utf8').split('\n');
    const { stdout } = await tetherfs('status', '--json', mountpoint);
    const { pid } = JSON.parse(stdout) as { pid: number };
    const kernelLog = spawnSync('dmesg', { encoding: 'utf8' }).stdout;
    const places = [
      mounted.stderr,
      stdout,
      kernelLog,
      ...['cmdline', 'environ'].map((n) => readFileSync(`/proc/${pid}/${n}`, 'utf8')),
    ];
    for (const place of places) expect(place.includes(key)).toBe(false);
    expect(kernelLog).toContain('tetherfs: mounted');
    await tetherfs('unmount', mountpoint);
  });

  it('unmount says that a mount is in use, and leaves it as it is', async () => {
    const mountpoint = site.newMountpoint();
    await tetherfs('mount', '--digest', site.digest, ...site.urls(), mountpoint);
    const user = execFile('tail', ['-f', join(mountpoint, 'rootimg.sfs')]);
    const descriptors = `/proc/${user.pid}/fd`;
    const opens = (name: string) => readlinkSync(join(descriptors, name)).endsWith('/rootimg.sfs');
    await waitUntil('it is in use', () => readdirSync(descriptors).some(opens));
    const refused = await tetherfs('unmount', mountpoint);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringMatching(/in use.*--lazy/) });
    expect(isMounted(mountpoint)).toBe(true);
    user.kill('SIGKILL');
    await new Promise((resolve) => user.once('close', resolve));
    expect(await tetherfs('unmount', mountpoint)).toMatchObject({ status: 0 });
  });
});

describe('bad input gets one line that says what to do, and leaves nothing', () => {
  const missing = '/nowhere/key';
  const nowhere = 'http://127.0.0.99/os/rootimg.sfs';
  it.each<[string, () => string[], number, RegExp]>([
    ['no arguments', () => ['mount'], 2, /missing required argument/],
    ['no mountpoint', () => ['mount', ...site.urls().slice(0, 1)], 2, /then the MOUNTPOINT/],
    ['an unknown option', () => ['mount', '--chache-size', '1', 'x', 'y'], 2, /--chache-size/],
    ['http without a digest', () => ['mount', ...site.urls(), site.newMountpoint()], 2, /--digest.*--allow-unverified/],
    [
      'a digest that is none',
      () => ['mount', '--digest', 'sha256:12', ...site.urls(), site.newMountpoint()],
      2,
      /digest/,
    ],
    ['a size that is none', () => ['mount', '--cache-size', 'big', nowhere, site.newMountpoint()], 2, /--cache-size/],
    ['a cache that is too small', () => [...verified(), '--cache-size', '1MiB', ...rest()], 1, /at least 1.1 MiB/],
    [
      'a key file that is not there',
      () => [...verified(), '--key-file', missing, ...rest()],
      2,
      /--key-file \/nowhere\/key: no such/,
    ],
    ['a key file that is none', () => [...verified(), '--key-file', badKey(), ...rest()], 1, /key file/],
    [
      'a CA file that is none',
      () => [...verified(), '--ca-file', badKey(), ...site.urls('https'), site.newMountpoint()],
      2,
      /no certificate in PEM/,
    ],
    [
      'a CA file for the profile that is not there',
      () => [...verified(), '--profile', 'https://127.0.0.11/profile.yaml', '--ca-file', missing, ...rest()],
      2,
      /--ca-file \/nowhere\/key: no such file/,
    ],
    [
      'an unknown authority',
      () => [...verified(), '--mount-timeout', '1', ...site.urls('https'), site.newMountpoint()],
      1,
      /--ca-file/,
    ],
    [
      'another digest',
      () => ['mount', '--digest', `sha256:${'0'.repeat(64)}`, ...rest()],
      1,
      /no member serves the hash tree/,
    ],
    [
      'no member',
      () => ['mount', '--allow-unverified', '--mount-timeout', '1', nowhere, site.newMountpoint()],
      1,
      /nothing listens at 127\.0\.0\.99 port 80: does its web server run\?/,
    ],
    ['no such mountpoint', () => [...verified(), ...site.urls(), '/nowhere/mnt'], 1, /make the directory/],
    [
      'a URL without a file',
      () => [...verified(), 'http://127.0.0.11/', site.newMountpoint()],
      2,
      /must end in a file name/,
    ],
    ['no mountpoint after several URLs', () => [...verified(), ...site.urls()], 2, /the MOUNTPOINT is missing/],
    ['an empty mountpoint', () => [...verified(), ...site.urls(), ''], 2, /MOUNTPOINT is empty/],
    ['the root directory', () => [...verified(), ...site.urls(), '/'], 2, /cannot mount on \//],
    ['an empty control socket', () => ['status', '--control', ''], 2, /--control is empty/],
    ['an empty CA file', () => [...verified(), '--ca-file', '', ...rest()], 2, /--ca-file is empty/],
    ['a key on standard input', () => [...verified(), '--key-file', '/dev/stdin', ...rest()], 2, /give a file/],
    [
      'a key of another image',
      () => [...verified(), '--key-file', otherKey(), ...rest()],
      1,
      /does not open this image/,
    ],
    [
      'a control socket where there is no directory',
      () => [...verified(), '--control', '/nowhere/c.sock', ...rest()],
      1,
      /there is no directory \/nowhere/,
    ],
    [
      'metrics where there is a file',
      () => [...verified(), '--metrics', `unix:${badKey()}`, ...rest()],
      1,
      /no socket is there already/,
    ],
    [
      'https for http',
      () => [
        ...verified(),
        '--ca-file',
        site.authority.file,
        '--mount-timeout',
        '1',
        ...wrongPort(),
        site.newMountpoint(),
      ],
      1,
      /does not speak TLS: is this an http/,
    ],
    ['an empty file', () => ['mount', '--allow-unverified', empty(), site.newMountpoint()], 1, /the file is empty/],
    ['status of nothing', () => ['status', '/nowhere'], 1, /is not a mount of tetherfs/],
    ['unmount of nothing', () => ['unmount', '/tmp'], 1, /not a mount of tetherfs/],
    ['an unknown command', () => ['mout'], 2, /unknown command/],
  ])('%s', async (_name, args, status, message) => {
    const outcome = await tetherfs(...args());
    expect(outcome).toMatchObject({ status, stdout: '' });
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).not.toMatch(/\n\s+at /);
    expect(outcome.stderr).toMatch(/^tetherfs: /);
  });

  const verified = () => ['mount', '--digest', site.digest];
  const rest = () => [...site.urls(), site.newMountpoint()];
  const wrongPort = () => site.urls('https').map((url) => url.replace(/\/\/([0-9.]+)/, '//$1:80'));
  /** Its URL. */
  function empty(): string {
    writeFileSync(site.fileOf(0).replace('rootimg.sfs', 'empty.sfs'), '');
    return (site.urls()[0] ?? '').replace('rootimg.sfs', 'empty.sfs');
  }
  function otherKey(): string {
    const path = site.path('other.key');
    writeFileSync(path, `aes-xts-plain64\n${'0123456789abcdef'.repeat(4)}\n`);
    return path;
  }
  function badKey(): string {
    const path = site.path('bad.key');
    writeFileSync(path, 'nonsense\n');
    chmodSync(path, 0o600);
    return path;
  }
});

it('a file that is no socket is not one for us: it stays as it is', async () => {
  const path = site.path('precious');
  writeFileSync(path, 'precious');
  for (const option of [`--control=${path}`, `--metrics=unix:${path}`]) {
    const refused = await tetherfs('mount', '--digest', site.digest, option, ...site.urls(), site.newMountpoint());
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringMatching(/no socket is there already\n$/) });
    expect(readFileSync(path, 'utf8')).toBe('precious');
  }
});

it('where tetherfs is mounted already it is not mounted once more', async () => {
  const mountpoint = site.newMountpoint();
  const mounting = ['mount', '--digest', site.digest, ...site.urls(), mountpoint];
  expect(await tetherfs(...mounting)).toMatchObject({ status: 0 });
  for (const control of [[], ['--control', site.path('c')]]) {
    expect(await tetherfs(...mounting, ...control)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/mounted there already; remove it with "tetherfs unmount/),
    });
  }
  expect(await tetherfs('unmount', mountpoint)).toMatchObject({ status: 0 });
});

it('a user other than root is told so', () => {
  // Whoever that is may not look into our own directories.
  const checkout = '/run/checkout';
  mkdirSync(checkout);
  execFileSync('mount', ['--bind', dirname(dirname(tetherfsCommand)), checkout]);
  mkdirSync('/run/tetherfs', { recursive: true, mode: 0o700 });
  try {
    for (const words of [['status'], ['mount', '--digest', site.digest, ...site.urls(), '/usr']]) {
      const options = ['--reuid', '65534', '--clear-groups', join(checkout, 'bin/tetherfs'), ...words];
      const { status, stderr } = spawnSync('setpriv', options, { encoding: 'utf8' });
      expect([status, stderr]).toEqual([1, expect.stringMatching(/^tetherfs: [^\n]*root[^\n]*\n$/)]);
    }
  } finally {
    execFileSync('umount', [checkout]);
  }
});

it.each(['', 'mount', 'status', 'unmount', 'image', 'image pack', 'image info', 'image verify'])(
  'tetherfs %s --help shows how it is used',
  async (command) => {
    const outcome = await tetherfs(...command.split(' ').filter(Boolean), '--help');
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    expect(outcome.stdout).toContain(`Usage: tetherfs ${command}`.trim());
    if (command !== '') expect(outcome.stdout).toMatch(/Examples?:/);
  },
);

it('metrics can be asked over TCP', async () => {
  const mountpoint = site.newMountpoint();
  await tetherfs('mount', '--digest', site.digest, '--metrics', '127.0.0.1:9464', ...site.urls(), mountpoint);
  const { status, body } = await plainGet('http://127.0.0.1:9464/metrics');
  expect(status).toBe(200);
  expect(body.toString()).toContain('tetherfs_uptime_seconds');
  await tetherfs('unmount', mountpoint);
});

it('a second mount with the same control socket is refused, and the first goes on', async () => {
  const mountpoint = site.newMountpoint();
  const other = site.newMountpoint();
  await tetherfs('mount', '--digest', site.digest, ...site.urls(), mountpoint);
  const control = controlPathOf(mountpoint);
  const refused = await tetherfs('mount', '--digest', site.digest, '--control', control, ...site.urls(), other);
  expect(refused).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('another process’s, which runs; give another place'),
  });
  expect(isMounted(other)).toBe(false);
  expect((await tetherfs('status', mountpoint)).status).toBe(0);
  await tetherfs('unmount', mountpoint);
});

function scrape(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/metrics' }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject).end();
  });
}
