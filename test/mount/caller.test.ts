/**
 * What a daemon in the background has from whoever called `tetherfs mount`: paths mean what they mean to the caller, and nothing else goes along. The
 * same holds for its holder, and for its successors after a crash and after a takeover.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificateAuthority } from '../support/certificates.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import { plainGet } from '../support/plain-http.ts';
import { HeldMount } from './held-mount.ts';
import { expectRandomReads, expectWhole } from './reading.ts';
import { Site } from './site.ts';

const run = promisify(execFile);

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 8, members: 2 });
});
afterAll(() => site[Symbol.asyncDispose]());

const verified = () => ['--digest', site.digest];

/** Calls `tetherfs mount` with other surroundings. */
function calling(surroundings: { cwd?: string; env?: NodeJS.ProcessEnv }) {
  return (command: string, words: readonly string[]) => run(command, words, surroundings);
}

/** Runs `look` at the daemon and its holder, at the one after a crash, and at the one after a takeover by such a caller. */
async function withAll(mount: HeldMount, takeOver: () => Promise<unknown>, look: (pid: number) => void): Promise<void> {
  look(mount.holder);
  look(mount.daemon);
  process.kill(mount.daemon, 'SIGKILL');
  const { pid } = await mount.successorOf(mount.daemon);
  look(pid);
  await takeOver();
  look((await mount.successorOf(pid)).pid);
}

describe('a path is the caller’s', () => {
  // As in https://github.com/project-machine/puzzlefs/pull/46, where a daemon in / no longer found what it was told.
  it('in every option, and as the mountpoint', async () => {
    const cwd = site.path('c');
    // Short names: a socket's has at most 107 bytes.
    mkdirSync(join(cwd, 'mnt'), { recursive: true });
    writeFileSync(join(cwd, 'profile.yaml'), 'label: demo\nkernelargs: quiet imagemethod=tethered\n');
    writeFileSync(join(cwd, 'rootimg.key'), readFileSync(site.keyFile), { mode: 0o600 });
    writeFileSync(join(cwd, 'ca.pem'), site.authority.pem);
    const files = ['--ca-file', 'ca.pem', '--key-file', './rootimg.key', '--profile', 'profile.yaml'];
    const sockets = ['--control', 'c.sock', '--metrics', 'unix:m.sock'];
    await using mount = await HeldMount.make({
      urls: site.urls('https'),
      mountpoint: join(cwd, 'mnt'),
      options: [...verified(), ...files, ...sockets],
      start: (command, words) => calling({ cwd })(command, [...words.slice(0, -1), 'mnt']),
    });
    await expectWhole(mount.file, site.plain);
    expect((await mount.status()).mountpoint).toBe(join(cwd, 'mnt'));
    expect(mount.control).toBe(join(cwd, 'c.sock'));
    expect(statSync(join(cwd, 'm.sock')).isSocket()).toBe(true);
    expect(existsSync('/mnt/rootimg.sfs')).toBe(false);
    await run(tetherfsCommand, ['trace', 'save', 'mnt', 'boot.trace'], { cwd });
    await run(tetherfsCommand, ['takeover', '--control', 'c.sock', 'mnt'], { cwd });
    await run(tetherfsCommand, ['unmount', './mnt/'], { cwd });

    await using again = await HeldMount.make({
      urls: site.urls(),
      mountpoint: join(cwd, 'mnt'),
      options: [...verified(), '--trace', 'boot.trace'],
      start: calling({ cwd }),
    });
    expect((await again.status()).trace.source).toBe(join(cwd, 'boot.trace'));
  });
});

/** What a process has open, as the kernel names it. */
function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    // It may just have closed one.
    const found = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false });
    return found === undefined ? [] : [`${found.dev} ${found.ino}`];
  });
}

describe('nothing of the caller’s stays open', () => {
  // https://github.com/cvmfs/cvmfs/issues/3645 waited for the end of a pipe that a mount's helper held; in
  // https://github.com/ceph/ceph-qa-suite/pull/583 a lock outlived whoever had taken it.
  it('no pipe that it waits on, no file that it has locked', async () => {
    const lock = openSync(site.path('lock'), 'w');
    const { dev, ino } = fstatSync(lock);
    const endsThough = async (command: string, words: readonly string[]) => {
      const child = spawn(command, words, { stdio: ['pipe', 'pipe', 'pipe', 'pipe', lock] });
      // When all its pipes have ended, whoever held them.
      const [status] = await once(child, 'close');
      expect(status).toBe(0);
    };
    await using mount = await HeldMount.make({
      urls: site.urls(),
      mountpoint: site.newMountpoint(),
      options: verified(),
      start: endsThough,
    });
    const takeOver = () => endsThough(tetherfsCommand, ['takeover', mount.mountpoint]);
    await withAll(mount, takeOver, (pid) => expect(openFiles(pid)).not.toContain(`${dev} ${ino}`));
    closeSync(lock);
  });
});

function environmentOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
}

/** What ours may have, sanitizers' included. */
const ours =
  /^(PATH|LANG|LC_\w+|TZ|LD_PRELOAD|LD_LIBRARY_PATH|\w+SAN_OPTIONS|TETHERFS_\w+|NODE_COMPILE_CACHE|NODE_CHANNEL_\w+|NOTIFY_SOCKET|FDSTORE|LISTEN_\w+)=/;

describe('its environment', () => {
  const strange = {
    NODE_OPTIONS: '--inspect=127.0.0.1:9339 --no-warnings',
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    NODE_V8_COVERAGE: '/nonexistent/coverage',
    HTTPS_PROXY: 'http://127.0.0.1:9',
    API_TOKEN: 'secret',
  };

  // https://github.com/GoogleCloudPlatform/gcsfuse/issues/211: what a daemon takes along must be known.
  it('is of chosen names', async () => {
    const env = { ...process.env, ...strange };
    await using mount = await HeldMount.make({
      urls: site.urls(),
      mountpoint: site.newMountpoint(),
      options: verified(),
      start: calling({ env }),
    });
    const takeOver = () => run(tetherfsCommand, ['takeover', mount.mountpoint], { env });
    await withAll(mount, takeOver, (pid) =>
      expect(environmentOf(pid).filter((variable) => !ours.test(variable))).toEqual([]),
    );
  });

  it.each(['--log-level=info', '--foreground'])(
    'believes no certificate that it would not believe otherwise: %s',
    async (how) => {
      const authority = makeCertificateAuthority(site.path(`other-ca${how}`));
      const trust = ['--ca-file', authority.file, '--mount-timeout', '3', how];
      const mountpoint = site.newMountpoint();
      const env = { ...process.env, ...strange, NODE_EXTRA_CA_CERTS: site.authority.file };
      const mounting = run(tetherfsCommand, ['mount', ...trust, ...site.urls('https'), mountpoint], { env });
      await expect(mounting).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/not signed by a known CA/),
      });
    },
  );
});

it('limits of the caller’s shell, and its umask, are not the daemon’s', async () => {
  const shell = 'umask 0; ulimit -St 60; ulimit -Sf 2000000; ulimit -Sn 64; ulimit -Sc unlimited; exec "$0" "$@"';
  await using mount = await HeldMount.make({
    urls: site.urls(),
    mountpoint: site.newMountpoint(),
    options: verified(),
    start: (command, words) => run('bash', ['-c', shell, command, ...words]),
  });
  const limits = readFileSync(`/proc/${mount.daemon}/limits`, 'utf8');
  expect(limits).toMatch(/^Max cpu time +unlimited /m);
  expect(limits).toMatch(/^Max file size +unlimited /m);
  expect(Number(/^Max open files +(\d+) /m.exec(limits)?.[1])).toBeGreaterThan(64);
  expect(limits).toMatch(/^Max core file size +0 /m);
  expect(readFileSync(`/proc/${mount.daemon}/status`, 'utf8')).toMatch(/^Umask:\t0022$/m);
});

it('too small a limit of open files is raised where it may be, and named where not', async () => {
  const version = (limit: string) =>
    run('bash', ['-c', `ulimit ${limit} && exec "$0" --version`, tetherfsCommand], { env: process.env });
  await expect(version('-Sn 20')).resolves.toMatchObject({ stdout: expect.stringMatching(/^\d/) });
  await expect(version('-n 20')).rejects.toMatchObject({
    code: 1,
    stderr: 'tetherfs: a limit of 20 open files (ulimit -n) is too little: at least 64 are needed\n',
  });
});

it('signals that are meant for others change nothing, and open no debugger', async () => {
  await using mount = await HeldMount.make({
    urls: site.urls(),
    mountpoint: site.newMountpoint(),
    options: [...verified(), '--cache-size', '2MiB'],
  });
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGALRM', 'SIGPIPE', 'SIGWINCH'] as const) {
    process.kill(mount.daemon, signal);
    await expectRandomReads(mount.file, site.served, { count: 20, longest: 200_000, seed: 7 });
    expect((await mount.status()).pid).toBe(mount.daemon);
  }
  await expect(plainGet('http://127.0.0.1:9229/json')).rejects.toThrow(/ECONNREFUSED/);
});
