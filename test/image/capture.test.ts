/** A running machine becomes an image: what is in it, what never leaves the machine, and how the machine is left, whatever happens meanwhile. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runProgram } from '../../src/base/program.ts';
import { collector } from '../../src/imgutil/capture/collector.ts';
import { survey } from '../../src/imgutil/capture/survey.ts';
import { visit } from '../../src/imgutil/remote-member.ts';
import { checkoutCommand } from '../support/daemon.ts';
import { allProcesses, commandLine, parentOf, signal } from '../support/process-tree.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { machineKernel, RunningMachine, secret } from './running-machine.ts';

let machine: RunningMachine;
let directory: TempDir;
const site = makeTempDir('capture-site');
const runtime = join(site.path, 'runtime.sfs');
const at = (...path: string[]) => join(directory.path, ...path);

beforeAll(() => writeFileSync(runtime, 'hsqs, the runtime'));
afterAll(() => site.remove());
beforeEach(() => {
  directory = makeTempDir('capture');
});
afterEach(() => directory.remove());

function tetherfs(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(checkoutCommand, words, { encoding: 'utf8', timeout: 100_000 });
  return { status, stdout, stderr };
}

function captureWords(...more: string[]): string[] {
  const places = ['--ssh-config', machine.sshConfig, '--runtime', runtime, '--private-dir', at('private')];
  return ['image', 'capture', ...places, ...more, machine.address, at('public')];
}

const capture = (...more: string[]) => tetherfs(...captureWords(...more));

/** The image that was captured last. @returns what `unpack` prints. */
function unpack(): string {
  const key = existsSync(at('private/pending/rootimg.key')) ? ['--key-file', at('private/pending/rootimg.key')] : [];
  const { status, stdout, stderr } = tetherfs('image', 'unpack', ...key, at('public/rootimg.sfs'), at('tree'));
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

const inTree = (path: string) => readFileSync(at('tree', path), 'utf8');

/** Of what lies on disks, by what every inode is, and what is in it. */
const notOnDisk =
  '-path ./proc -o -path ./dev -o -path ./run -o -path ./sys -o -path ./tmp -o -path ./var/tmp -o -name lost+found';
const listing = `find . \\( ${notOnDisk} \\) -prune \\
  -o -type d -printf '%p %M %U %G\\n' -o -printf '%p %M %U %G %n %s %Ts %l\\n' | sort
find . \\( ${notOnDisk} \\) -prune -o -type f -exec sha256sum {} + | sort`;

const listedTree = () => execFileSync('sh', ['-ec', listing], { cwd: at('tree'), encoding: 'utf8' });

/** Lines of one and not of the other: their paths. */
function differences(there: string, here: string): { gone: string[]; added: string[] } {
  const [before, after] = [there, here].map((text) => new Set(text.trim().split('\n'))) as [Set<string>, Set<string>];
  const paths = (lines: Set<string>) =>
    [
      // sha256sum(1) doubles a backslash.
      ...new Set([...lines].map((line) => (/\.(\/[^ ]*)/.exec(line)?.[1] ?? line).replaceAll('\\\\', '\\'))),
    ].sort();
  return { gone: paths(before.difference(after)), added: paths(after.difference(before)) };
}

/** All that tells what was done to the machine. */
const state = () =>
  machine.run(
    'cat /proc/self/mountinfo; find / /mnt /run /home /var -maxdepth 1 -printf "%p %M %U %G\\n"; { btrfs subvolume list -a / 2>/dev/null || :; } | sed "s/ gen [0-9]*//"',
  );

const atWork = () => allProcesses().filter((pid) => commandLine(pid).includes('tetherfs-masked'));

/** Of those that the machine runs for us the one that started the others. */
function mainProcess(): number {
  const there = atWork().filter((pid) => commandLine(pid).startsWith('sh -c room='));
  const main = there.find((pid) => !there.includes(parentOf(pid) ?? 0));
  if (main === undefined) throw new Error('nothing works there');
  return main;
}

function localTar(): number {
  const found = allProcesses().find((pid) => commandLine(pid).startsWith('tar --extract'));
  if (found === undefined) throw new Error('no tar unpacks');
  return found;
}

async function interrupted(
  place: string,
  stop: (pid: number) => void,
): Promise<{ status: number | null; stderr: string; frozen: boolean }> {
  machine.hold(place);
  const child = spawn(checkoutCommand, captureWords(), { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  await waitUntil('it reads there', () => machine.isHeld());
  const frozen = machine.isFrozen('/home');
  const ended = once(child, 'close');
  stop(child.pid ?? 0);
  const [status] = await ended;
  await waitUntil('nothing works there any more', () => atWork().length === 0);
  machine.letGo();
  return { status, stderr, frozen };
}

describe('a machine with ext4', () => {
  beforeAll(async () => {
    machine = await RunningMachine.start({ address: '127.0.0.31', disk: 'ext4' });
  });
  afterAll(() => machine?.[Symbol.asyncDispose]());

  test('becomes an image of its file systems, in which every inode is as it was; it is left as it was', () => {
    const before = { state: state(), listing: machine.run(`cd /; ${listing}`) };
    const { status, stdout, stderr } = capture('--report');
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stderr.split('\n').filter((line) => !line.includes('its nodes need'))).toEqual([
      `tetherfs: looking at ${machine.address}`,
      'tetherfs: not captured: /etc/munge (/srv/munge once more)',
      'tetherfs: reading / (ext4), /boot (ext4), /home (ext4)',
      'tetherfs: making it one for all nodes',
      'tetherfs: making its initramfs by dracut',
      'tetherfs: packing it',
      '',
    ]);
    expect(stdout).toMatch(new RegExp(`^captured ${machine.address}: /, /boot, /home\nimage    `));
    expect(stdout).toContain(`kernel   ${machineKernel} and its initramfs`);
    expect(stdout).toContain('left out /srv/munge/munge.key (key of a cluster)\n');
    expect({ state: state(), listing: machine.run(`cd /; ${listing}`) }).toEqual(before);
    expect(atWork()).toEqual([]);

    const key = at('private/pending/rootimg.key');
    expect(tetherfs('image', 'info', '--key-file', key, at('public/rootimg.sfs')).stdout).toMatch(
      /holds +partitions\npartition +"\/", "ext4" on "\/dev\/loop\d+": .*\npartition +"\/boot", "ext4" .*\npartition +"\/home", "ext4" /,
    );
    expect(readFileSync(at('public/build-info'), 'utf8')).toContain(`PACKEDFROM=${machine.address}\n`);
    expect(readFileSync(at('public/boot/initramfs/distribution'), 'utf8')).toBe('--force --regenerate-all\n');
    expect(unpack()).toContain('/tree, of /, /boot, /home\n');
    const { gone, added } = differences(before.listing, listedTree());
    const changed = [
      ...['/etc/NetworkManager/system-connections/lan.nmconnection', '/etc/crypttab', '/etc/fstab', '/etc/gshadow-'],
      ...['/etc/krb5.keytab', '/etc/machine-id', '/etc/netplan/50-wifi.yaml', '/etc/nginx/tls/site.key'],
      ...['/etc/selinux/config', '/etc/shadow', '/etc/ssh/ssh_host_ed25519_key', '/etc/sssd/sssd.conf'],
      ...[
        '/home/DOM\\ain',
        '/home/ann/.netrc',
        '/home/ann/.ssh/id_rsa',
        '/home/ann/.ssh/keys/old',
        '/root/.ssh/id_ed25519',
      ],
    ];
    const left = [
      ...[
        '/etc/munge/munge.key',
        '/etc/netplan/01-lan.yaml',
        '/root/.bash_history',
        '/var/lib/NetworkManager/secret_key',
      ],
      ...[
        '/var/lib/confluent/private/os',
        '/var/lib/confluent/private/os/x',
        '/var/lib/confluent/private/os/x/pending',
      ],
      ...['/var/lib/confluent/private/os/x/pending/rootimg.key', '/srv/munge/munge.key', '/srv/sss/db/cache_x.ldb'],
      ...['/var/log/journal/0123', '/var/log/journal/0123/system.journal'],
    ];
    expect(gone).toEqual([...changed, ...left].sort());
    const prepared = /^\/usr\/(lib|bin)\/(tetherfs|dracut)|^\/boot\/initramfs-|^\/usr\/lib\/systemd/;
    expect(added.filter((path) => !prepared.test(path))).toEqual(changed.sort());
    expect(statSync(at('tree/srv/sparse')).blocks * 512).toBeLessThan(1 << 20);
    const attributes = `import os
for path, name in (('etc/hostname', 'user.mark'), ('etc/sudoers', 'security.selinux')): print(os.getxattr(path, name))`;
    expect(execFileSync('python3', ['-c', attributes], { cwd: at('tree'), encoding: 'utf8' })).toBe(
      "b'kept'\nb'system_u:object_r:etc_t:s0'\n",
    );
    expect(execFileSync('getcap', [at('tree/usr/bin/sleep')], { encoding: 'utf8' })).toMatch(/cap_net_raw=ep\n$/);
    expect(inTree('etc/shadow')).toBe('root:*:19000:0:99999:7:::\nlocked:!:19000::::::\nsshd:*:19000::::::\n');
    expect(inTree('etc/fstab')).toBe(
      '# disks\n#ORIGFSTAB#UUID=1-2# / ext4 defaults 0 1\n#ORIGFSTAB#/dev/sda2#\t/home ext4 defaults 0 2\nserver:/x /x nfs ro 0 0\n#ORIGFSTAB#/dev/sda3# none swap sw 0 0\n',
    );
    expect(inTree('etc/selinux/config')).toBe('SELINUX=disabled\n');
    expect(execFileSync('grep', ['-rlaF', '-e', secret, at('tree')], { encoding: 'utf8' })).toMatch(
      /^\S+\/root\/.ssh\/authorized_keys\n$/,
    );
  });

  /** All that comes from the machine. */
  async function wire(options: { silence?: number; keep?: string[] } = {}): Promise<{ status: number; bytes: Buffer }> {
    const pieces: Buffer[] = [];
    const output = new Writable({
      write(piece: Buffer, _, done) {
        pieces.push(piece);
        done();
      },
    });
    const login = { login: machine.address };
    const status = await visit(login, { sshConfig: machine.sshConfig, run: runProgram }, async (there) => {
      const script = collector(await survey(there, []), { keep: [], without: [], freeze: true, ...options });
      return there.stream(script, output, () => {});
    });
    return { status, bytes: Buffer.concat(pieces) };
  }

  test('what no other machine may have does not leave it', async () => {
    const { status, bytes } = await wire();
    expect(status).toBe(0);
    expect(bytes.includes('no key is here')).toBe(true);
    // root's own public key has it in its comment.
    expect(bytes.toString('latin1').split(secret).length - 1).toBe(1);
  });

  test('what is kept does', async () => {
    const { bytes } = await wire({ keep: ['/etc/krb5.keytab', '/home/ann/.netrc'] });
    expect(bytes.toString('latin1').split(secret).length - 1).toBe(3);
  });

  test('when nothing is heard of us any more, it thaws what was frozen, and ends', async () => {
    machine.hold('./home');
    // Several pauses between two signs of life: one may be late.
    const cut = wire({ silence: 15 });
    await waitUntil('it reads /home', () => machine.isHeld());
    expect(machine.isFrozen('/home')).toBe(true);
    const connections = allProcesses().filter((pid) => /^ssh: .*\[mux\]$/.test(commandLine(pid)));
    for (const pid of connections) signal(pid, 'SIGSTOP');
    await waitUntil('/home is thawed', () => !machine.isFrozen('/home'), { timeoutMs: 90_000 });
    for (const pid of connections) signal(pid, 'SIGCONT');
    expect(connections).toHaveLength(1);
    expect((await cut).status).not.toBe(0);
    machine.letGo();
    await waitUntil('nothing works there any more', () => atWork().length === 0);
  });

  test('as one, without a directory, in clear, with a file as it is: an ordinary image', () => {
    const words = ['--single', '--without', '/home/ann/', '--no-encrypt', '--keep', '/etc/krb5.keytab'];
    words.push('--keep', '/etc/munge/munge.key');
    const { status, stdout } = capture(...words);
    expect({ status, stdout }).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^captured \S+: \/, \/boot, \/home, as one\n/),
    });
    expect(existsSync(at('private'))).toBe(false);
    expect(tetherfs('image', 'info', at('public/rootimg.sfs')).stdout).toMatch(/^format +squashfs/m);
    expect(unpack()).not.toContain(', of ');
    expect(readdirSync(at('tree/home/ann'))).toEqual([]);
    expect(inTree('srv/data').length).toBe(100_000);
    expect([inTree('etc/krb5.keytab'), inTree('srv/munge/munge.key')]).toEqual([secret, secret]);
  });

  test.each([
    ['Ctrl-C', (pid: number) => signal(pid, 'SIGINT')],
    ['the end of the process', (pid: number) => signal(pid, 'SIGKILL')],
    ['the end of tar here', () => signal(localTar(), 'SIGKILL')],
    ['the end of what works there', () => signal(mainProcess(), 'SIGKILL')],
  ])('%s while a file system is frozen thaws it, and leaves nothing', async (how, stop) => {
    const before = state();
    const { status, stderr, frozen } = await interrupted('./home', stop);
    expect(frozen).toBe(true);
    await waitUntil('/home is thawed', () => !machine.isFrozen('/home'));
    expect(state()).toBe(before);
    if (how === 'the end of the process') {
      expect(capture()).toMatchObject({
        status: 0,
        stderr: expect.stringMatching(
          /^tetherfs: removed what a killed run had left: .*private\/\.rootimg\.sfs\.pack-/,
        ),
      });
      return;
    }
    expect(status).toBe(1);
    const last = stderr.trim().split('\n').at(-1);
    if (how === 'Ctrl-C')
      expect(last).toBe(`tetherfs: capturing ${machine.address} was interrupted; nothing was changed`);
    else if (how === 'the end of tar here')
      expect(last).toBe(`tetherfs: cannot capture ${machine.address}: tar could not unpack what came: it was killed`);
    else expect(last).toMatch(/^tetherfs: cannot capture 127\.0\.0\.31: it could not send all of itself: /);
    expect(readdirSync(at())).toEqual([]);
  });

  test('without freezing, nothing is', async () => {
    machine.hold('./home');
    const child = spawn(checkoutCommand, captureWords('--no-freeze'), { stdio: 'ignore' });
    const ended = once(child, 'close');
    await waitUntil('it reads there', () => machine.isHeld());
    expect(machine.isFrozen('/home')).toBe(false);
    machine.letGo();
    expect(await ended).toEqual([0, null]);
  });

  test('what is wrong is told in a line, and nothing is left', () => {
    const refused = (words: string[], why: RegExp) => {
      const { status, stdout, stderr } = tetherfs(...words);
      expect({ status, stdout, last: stderr.trim().split('\n').at(-1) }).toEqual({
        ...{ status: expect.any(Number), stdout: '' },
        last: expect.stringMatching(why),
      });
      expect(status).not.toBe(0);
      expect(readdirSync(at())).toEqual([]);
    };
    refused(captureWords('--keep', '/etc/nothing'), /--keep \/etc\/nothing: there is no such file there/);
    refused(captureWords('--without', '/nothing'), /--without \/nothing: there is no such directory there/);
    refused(
      captureWords('--without', '/srv', '--keep', '/srv/data'),
      /it lies in a directory of which nothing is captured/,
    );
    refused(captureWords('--without', 'srv'), /--without srv: give the whole path of a directory$/);
    refused(captureWords('-b', 'nothing'), /nothing/);
    refused([...captureWords().slice(0, -2), '127.0.0.250', at('public')], /cannot capture 127\.0\.0\.250: ssh: /);
    refused(
      [...captureWords().slice(0, -2), '--', '-oProxyCommand=x', at('public')],
      /no machine that ssh could reach/,
    );
    machine.run('ln /etc/krb5.keytab /srv/another');
    refused(
      captureWords(),
      /\/etc\/krb5\.keytab has another name there, by which it would be captured: remove that, or say --keep/,
    );
    machine.run('rm /srv/another; mv /usr/sbin/fsfreeze /srv/');
    refused(captureWords(), /it lacks fsfreeze: install that there$/);
    machine.run('mv /srv/fsfreeze /usr/sbin/');
  });
});

describe('a machine with btrfs', () => {
  beforeAll(async () => {
    machine = await RunningMachine.start({ address: '127.0.0.32', disk: 'btrfs' });
  });
  afterAll(() => machine?.[Symbol.asyncDispose]());

  test('is captured with its subvolumes, mounted and not, as it was at one moment', async () => {
    const before = state();
    const listed = machine.run(`cd /; ${listing}`);
    machine.run('btrfs subvolume snapshot -r / /.tetherfs-capture-999999999-0');
    machine.hold('.');
    const child = spawn(checkoutCommand, captureWords(), { stdio: 'ignore' });
    const ended = once(child, 'close');
    await waitUntil('it reads there', () => machine.isHeld());
    machine.run('echo late >/srv/late; echo late >/home/ann/late; echo late >/var/lib/machines/inner/most/late');
    machine.letGo();
    expect(await ended).toEqual([0, null]);
    machine.run('rm /srv/late /home/ann/late /var/lib/machines/inner/most/late');
    expect(state()).toBe(before);
    expect(unpack()).toContain('/tree, of /, /home\n');
    expect(inTree('var/lib/machines/inner/most/file')).toBe('nested\n');
    const { gone, added } = differences(listed, listedTree());
    expect(added.filter((path) => path.includes('late'))).toEqual([]);
    expect(gone.filter((path) => /^\/(srv\/[^ms]|usr|home\/ann\/notes|var\/lib\/machines)/.test(path))).toEqual([]);
  });

  test('an interruption leaves no snapshot', async () => {
    const before = state();
    const { status } = await interrupted('.', (pid) => signal(pid, 'SIGINT'));
    expect(status).toBe(1);
    await waitUntil('the snapshots are gone', () => state() === before);
  });
});
