/** A command in a tree, here this machine's own in an overlay: what it sees, what it may, and what is left of it. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { tetherfsCommand } from '../support/daemon.ts';
import { Overlay } from '../support/overlay.ts';
import { allProcesses, commandLine, isRunning } from '../support/process-tree.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

let overlay: Overlay;
let directory: TempDir;
const inTree = (path: string) => join(overlay.root, path);
const hostServers = readFileSync('/etc/resolv.conf', 'utf8');

beforeEach(() => {
  overlay = new Overlay('/');
  directory = makeTempDir('exec');
});
afterEach(() => {
  overlay[Symbol.dispose]();
  directory.remove();
});

function exec(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(tetherfsCommand, ['image', 'exec', ...words], {
    encoding: 'utf8',
    env: { ...process.env, SECRET: 'of the caller' },
  });
  return { status, stdout, stderr };
}

/** What a shell in the tree prints. */
function said(script: string, ...words: string[]): string {
  const { status, stdout, stderr } = exec(...words, overlay.root, 'sh', '-ec', script);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

/** All that the tree has of its own above this machine's. */
function changed(): string[] {
  const upper = join(overlay.root, '../upper');
  return execFileSync('find', [upper, '-mindepth', '1', '-printf', '/%P\n'], { encoding: 'utf8' }).split('\n').sort();
}

describe('the container', () => {
  test('processes, host name and IPC are its own; /proc, /dev, /run and /tmp fresh; what is the kernel’s cannot be changed', () => {
    const own = ['pid', 'ipc', 'uts', 'mnt'].map((name) =>
      execFileSync('readlink', [`/proc/self/ns/${name}`], { encoding: 'utf8' }),
    );
    const seen = said('for name in pid ipc uts mnt; do readlink /proc/self/ns/$name; done').split('\n');
    for (const namespace of own) expect(seen).not.toContain(namespace.trim());
    expect(said('ls -A /run /tmp /dev/shm; hostname; pwd; id -u')).toBe(
      '/dev/shm:\n\n/run:\nlock\n\n/tmp:\nroot\n/\n0\n',
    );
    expect(said('ls /proc | grep -c "^[0-9]"; touch /tmp/file /run/file /dev/file')).toMatch(/^[2-6]\n$/);
    for (const path of ['/proc/sys/kernel/hostname', '/sys/kernel/mm/ksm/run', '/proc/sysrq-trigger'])
      expect(said(`[ ! -e ${path} ] || ! { echo 0 >${path}; } 2>/dev/null; echo refused`)).toBe('refused\n');
    expect(said('env | cut -d= -f1 | sort | xargs')).not.toMatch(/SECRET/);
    expect(changed()).toEqual(['']);
  });

  test('its exit status is ours, that of a signal, too; a command that is not there is said', () => {
    expect(exec(overlay.root, 'sh', '-c', 'exit 37')).toEqual({ status: 37, stdout: '', stderr: '' });
    expect(exec(overlay.root, 'sh', '-c', 'kill -9 $$').status).toBe(137);
    expect(exec(overlay.root, 'nonexistent')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/nonexistent/),
    });
  });

  test('words of the command are its own, whatever they look like', () => {
    expect(exec(overlay.root, 'echo', '--help', '-v', '--').stdout).toBe('--help -v --\n');
  });

  test('what is written stays in the tree, and nothing of this machine changes', () => {
    said('echo new >/etc/of-the-tree; useradd --system ours; mkdir /srv/here');
    expect(readFileSync(inTree('etc/passwd'), 'utf8')).toMatch(/^ours:/m);
    expect(existsSync('/etc/of-the-tree')).toBe(false);
  });
});

describe('the name servers', () => {
  const resolver = () => inTree('etc/resolv.conf');
  const real = realpathSync('/etc/resolv.conf');

  test.each<[string, () => void, string]>([
    [
      'a file of the tree, which stays as it is',
      () => writeFileSync(resolver(), 'nameserver 192.0.2.1\n'),
      'nameserver 192.0.2.1\n',
    ],
    ['an empty one', () => writeFileSync(resolver(), ''), ''],
  ])('are this machine’s, over %s', (_, make, kept) => {
    rmSync(resolver(), { force: true });
    make();
    expect(said('cat /etc/resolv.conf')).toBe(hostServers);
    expect(exec(overlay.root, 'sh', '-c', 'echo nameserver 192.0.2.2 >/etc/resolv.conf').status).not.toBe(0);
    expect(readFileSync(resolver(), 'utf8')).toBe(kept);
    expect(readFileSync(real, 'utf8')).toBe(hostServers);
  });

  test('also where there is none, and none is there afterwards', () => {
    rmSync(resolver(), { force: true });
    expect(said('cat /etc/resolv.conf')).toBe(hostServers);
    expect(existsSync(resolver())).toBe(false);
  });

  test('also where a link leads into /run: it stays a link', () => {
    rmSync(resolver(), { force: true });
    symlinkSync('../run/systemd/resolve/stub-resolv.conf', resolver());
    expect(said('cat /etc/resolv.conf')).toBe(hostServers);
    expect(lstatSync(resolver()).isSymbolicLink()).toBe(true);
    expect(changed().filter((path) => path !== '/etc/resolv.conf')).toEqual(['', '/etc']);
  });
});

describe('packages', () => {
  /** A package with a service whose init script says that it was started. */
  function makePackage(): string {
    const root = directory.path;
    const write = (path: string, text: string, mode = 0o755) => {
      mkdirSync(join(root, 'ours', path, '..'), { recursive: true });
      writeFileSync(join(root, 'ours', path), text, { mode });
    };
    write(
      'DEBIAN/control',
      'Package: ours\nVersion: 1\nArchitecture: all\nMaintainer: tests <t@example.org>\nDescription: a service\n',
      0o644,
    );
    write(
      'DEBIAN/postinst',
      '#!/bin/sh\nset -e\nupdate-rc.d ours defaults >/dev/null\ninvoke-rc.d ours start\necho configured >/var/lib/ours\n',
    );
    write(
      'etc/init.d/ours',
      '#!/bin/sh\n### BEGIN INIT INFO\n# Provides: ours\n# Required-Start:\n# Required-Stop:\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n### END INIT INFO\ntouch /var/lib/ours-started\nsleep 1000 &\n',
    );
    execFileSync('dpkg-deb', ['--build', '--root-owner-group', join(root, 'ours'), join(root, 'ours.deb')]);
    return root;
  }

  test('are installed by the tree’s own apt-get, with their scripts; their services do not start', () => {
    const words = [
      '-v',
      `${makePackage()}:/mnt`,
      overlay.root,
      'apt-get',
      'install',
      '--yes',
      '--quiet',
      '/mnt/ours.deb',
    ];
    expect(exec(...words)).toMatchObject({ status: 0 });
    expect(readFileSync(inTree('var/lib/ours'), 'utf8')).toBe('configured\n');
    expect(existsSync(inTree('var/lib/ours-started'))).toBe(false);
    expect(execFileSync('chroot', [overlay.root, 'dpkg-query', '--show', 'ours'], { encoding: 'utf8' })).toBe(
      'ours\t1\n',
    );
    expect(existsSync(inTree('usr/sbin/policy-rc.d'))).toBe(existsSync('/usr/sbin/policy-rc.d'));
    expect(readdirSync(inTree('mnt'))).toEqual(readdirSync('/mnt'));
  });
});

describe('what is shown of this machine', () => {
  test.each([
    ['SRC', (path: string) => path, (path: string) => `/run/external${path}`],
    ['SRC:-', (path: string) => `${path}:-`, (path: string) => path],
    ['SRC:DST', (path: string) => `${path}:/opt/deep/er`, () => '/opt/deep/er'],
  ])('%s, read-only; and nothing of it is in the tree afterwards', (_, word, place) => {
    writeFileSync(join(directory.path, 'file'), 'shown\n');
    const seen = place(directory.path);
    expect(said(`cat ${seen}/file; ! touch ${seen}/other 2>/dev/null`, '-v', word(directory.path))).toBe('shown\n');
    expect(readdirSync(directory.path)).toEqual(['file']);
    expect(existsSync(inTree('opt/deep'))).toBe(false);
    expect(changed().filter((path) => !/^(?:\/(?:opt|tmp\/?.*))?$/.test(path))).toEqual([]);
  });

  test('to be written to, when that is said; a single file, too', () => {
    writeFileSync(join(directory.path, 'file'), '');
    said('echo written >/srv/file', '-v', `${directory.path}/file:/srv/file:rw`);
    expect(readFileSync(join(directory.path, 'file'), 'utf8')).toBe('written\n');
    expect(existsSync(inTree('srv/file'))).toBe(false);
  });
});

describe('the end', () => {
  /** Two processes of one run, inside. */
  async function started() {
    for (const path of ['etc/resolv.conf', 'usr/sbin/policy-rc.d']) rmSync(inTree(path), { force: true });
    const script = 'setsid sleep 4711 & sleep 4712';
    const child = spawn(tetherfsCommand, ['image', 'exec', overlay.root, 'sh', '-c', script], { stdio: 'ignore' });
    const ended = once(child, 'close');
    const inside = await waitUntil('it runs', () => {
      const found = allProcesses().filter((pid) => /^sleep 471[12]$/.test(commandLine(pid)));
      return found.length === 2 && found;
    });
    expect(existsSync(inTree('etc/resolv.conf'))).toBe(true);
    return { child, ended, inside };
  }

  test.each(['SIGTERM', 'SIGHUP', 'SIGKILL'] as const)('by %s leaves no process, and no mountpoint', async (name) => {
    const { child, ended, inside } = await started();
    child.kill(name);
    await ended;
    await waitUntil('all of it has ended', () => !inside.some(isRunning));
    await waitUntil('what was made is gone', () => !existsSync(inTree('etc/resolv.conf')));
    expect(existsSync(inTree('usr/sbin/policy-rc.d'))).toBe(false);
  });

  test('Ctrl-C ends the command, and we tell so', async () => {
    const { child, ended, inside } = await started();
    // As a terminal does it: to all of its foreground.
    for (const pid of allProcesses().filter((one) => commandLine(one).startsWith('bwrap'))) process.kill(pid, 'SIGINT');
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
    await waitUntil('all of it has ended', () => !inside.some(isRunning));
    expect(existsSync(inTree('etc/resolv.conf'))).toBe(false);
  });

  test('of one leaves what another in the same tree needs', async () => {
    const { child, ended } = await started();
    expect(said('cat /etc/resolv.conf')).toBe(hostServers);
    expect(existsSync(inTree('etc/resolv.conf'))).toBe(true);
    child.kill('SIGTERM');
    await ended;
    await waitUntil('what was made is gone', () => !existsSync(inTree('etc/resolv.conf')));
  });
});

describe('what makes no sense is said in a line', () => {
  test.each<[string, () => string[], number, RegExp]>([
    ['this machine', () => ['/', 'true'], 2, /\/ is this machine/],
    ['no tree', () => [directory.path, 'true'], 2, /is no root filesystem: it has no \/usr/],
    ['nothing', () => [join(directory.path, 'x'), 'true'], 2, /no such file/],
    [
      'a volume that is not there',
      () => ['-v', '/nonexistent', overlay.root, 'true'],
      2,
      /-v \/nonexistent: no such file/,
    ],
    ['a volume that is none', () => ['-v', 'a:b:c:d', overlay.root, 'true'], 2, /give SRC, SRC:DST or SRC:DST:rw/],
  ])('%s', (_, words, status, message) => {
    const found = exec(...words());
    expect(found).toEqual({ status, stdout: '', stderr: expect.stringMatching(message) });
    expect(found.stderr.trim().split('\n')).toHaveLength(1);
  });
});
