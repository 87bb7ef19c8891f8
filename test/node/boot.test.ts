/**
 * `tetherfs node boot` with the kernel of this machine, in namespaces of its own: real mounts of real members, an overlay on compressed RAM, and how it fails. What
 * the initramfs and the new root add is in test/boot, where whole machines boot.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sidecarSuffix } from '../../src/image/sidecar.ts';
import { VerityBuilder } from '../../src/image/verity-builder.ts';
import { capture } from '../image/captured.ts';
import { Site } from '../mount/site.ts';
import { onOutput } from '../support/child-output.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import { Nginx } from '../support/nginx.ts';
import { allProcesses, commandLine, signal } from '../support/process-tree.ts';
import { closed, opened } from '../support/teardown.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const temp = makeTempDir('node-boot');
const root = join(temp.path, 'root');
const programs = join(temp.path, 'programs');
let site: Site;

beforeAll(async () => {
  mkdirSync(root);
  mkdirSync(programs);
  site = await Site.make({
    mebibytes: 24,
    populate(tree) {
      mkdirSync(join(tree, 'sbin'));
      writeFileSync(join(tree, 'sbin/init'), '');
      writeFileSync(join(tree, 'hostname'), 'as packed\n');
    },
  });
});
afterAll(async () => {
  await site?.[Symbol.asyncDispose]();
  temp.remove();
});

interface NodeOptions {
  /** Commands of the node before it boots. Its root is to be $1. */
  before?: string;
  /** … and once it has a root. */
  afterwards?: string;
  environment?: Readonly<Record<string, string>>;
}

/** A node in its initramfs: it has a kernel command line and a /run of its own. */
class Node implements AsyncDisposable {
  /** What it printed: of the boot, and of what it did afterwards. */
  said = '';
  readonly #child: ChildProcess;
  /** Of the boot. */
  readonly status: Promise<number | null>;

  constructor(words: readonly string[], { before = 'true', afterwards = 'true', environment = {} }: NodeOptions = {}) {
    const commandLine = join(temp.path, 'cmdline');
    writeFileSync(commandLine, `quiet ${words.join(' ')}\n`);
    // What it leaves on compressed RAM is the machine's, not a namespace's.
    const script = `mount --bind "$3" /proc/cmdline; mount -t tmpfs run /run
      leave() {
        disk=$(sed -n 's,^/dev/zram\\([0-9]*\\) .*,\\1,p' /proc/mounts)
        for place in "$1" /run/initramfs/tetherfs/writable /run/initramfs/tetherfs/lower*; do umount -R "$place" 2>/dev/null; done
        [ -z "$disk" ] || echo "$disk" >/sys/class/zram-control/hot_remove
        ! mountpoint -q /run/initramfs/tetherfs/image || "$2" unmount /run/initramfs/tetherfs/image
      }
      ${before}
      "$2" node boot "$1" && { ${afterwards}
      }
      status=$?; [ $status = 0 ] || echo "left: $(grep -E " ($1|/run/initramfs/tetherfs/[a-z0-9-]*) " /proc/mounts)"; leave "$@" >&2; exit $status`;
    this.#child = spawn(
      'unshare',
      [
        ...['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'],
        ...['sh', '-c', script, 'sh', root, tetherfsCommand, commandLine],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...environment } },
    );
    onOutput(this.#child, (text) => {
      this.said += text;
    });
    this.status = new Promise((resolve) => this.#child.on('close', resolve));
    opened(this);
  }

  async says(words: RegExp): Promise<void> {
    await waitUntil(`the node says ${words}`, () => words.test(this.said));
  }

  /** The boot. */
  interrupt(): void {
    for (const pid of allProcesses()) if (commandLine(pid).endsWith(`node boot ${root}`)) signal(pid, 'SIGTERM');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.status;
    closed(this);
  }
}

/** Programs of our own are found first. */
const withPrograms = () => ({ PATH: `${programs}:${process.env['PATH']}` });

const bootWords = () => [
  `tetherfs.members=${site.urls().join(',')}`,
  `tetherfs.digest=${site.digest}`,
  `tetherfs.insecure-key-file=${site.keyFile}`,
  'tetherfs.decryption=tetherfs',
];

it('makes a root that can be written to, of an image and compressed RAM', async () => {
  await using node = new Node([...bootWords(), 'tetherfs.zram=512MiB,limit=64MiB'], {
    afterwards: `cat "$1/hostname"; echo own >"$1/hostname"; cat "$1/hostname" /run/tetherfs/boot.json; grep -E " ($1|/run/initramfs/tetherfs/[a-z]*) " /proc/mounts
     disk=$(sed -n 's,^/dev/\\(zram[0-9]*\\) .*,\\1,p' /proc/mounts); cat /sys/block/$disk/disksize; cut -c 25-34 /sys/block/$disk/mm_stat; ls -l /run/initramfs/shutdown`,
  });
  expect(await node.status, node.said).toBe(0);
  expect(node.said).toMatch(
    /the root file system is there, .* s after the kernel started: network .* s, .*overlay .* s\n/,
  );
  expect(node.said).toContain('as packed\nown\n');
  expect(node.said).toMatch(/"method": "tethered".*"decryption": "tetherfs"/s);
  expect(node.said).toMatch(/\/lower squashfs ro.*\/writable xfs rw,.*discard.* overlay rw/s);
  expect(node.said).toContain(`\n${512 * 1024 ** 2}\n`);
});

it('waits for members, and says why; a signal ends it', async () => {
  for (const member of site.members) await member.kill();
  {
    await using node = new Node(bootWords());
    await node.says(/tetherfs: .*nothing listens at 127\.0\.0\.11/);
    node.interrupt();
    expect(await node.status, node.said).toBe(1);
    expect(node.said).not.toContain('trying again');
  }
  await using node = new Node(bootWords());
  await node.says(/tetherfs: .*nothing listens at 127\.0\.0\.11/);
  for (const member of site.members) await member.restart();
  expect(await node.status, node.said).toBe(0);
});

/** They are the machine's. */
const ramDisks = () => readdirSync('/sys/block').filter((name) => name.startsWith('zram')).length;

it('a step that fails is tried again from where it got to', async () => {
  const flag = join(temp.path, 'failed-once');
  writeFileSync(
    join(programs, 'mkfs.xfs'),
    `#!/bin/sh\n[ -e ${flag} ] && exec /sbin/mkfs.xfs "$@"\n: >${flag}\necho "mkfs.xfs: no room" >&2\nexit 1\n`,
  );
  chmodSync(join(programs, 'mkfs.xfs'), 0o755);
  const disks = ramDisks();
  await using node = new Node(bootWords(), {
    afterwards: 'echo "$(ls -d /sys/block/zram* | wc -l) disks"',
    environment: withPrograms(),
  });
  expect(await node.status, node.said).toBe(0);
  expect(node.said).toMatch(/tetherfs: overlay: mkfs\.xfs: mkfs\.xfs: no room; trying again in \d+\.\d s\n/);
  expect(node.said).toContain(`\n${disks + 1} disks\n`);
  expect(ramDisks()).toBe(disks);
});

it.each([
  ['tetherfs.zram=1GiB,algorithm=lzx', 1, /comp_algorithm does not take lzx: .*; there are .*lz/],
  [
    'tetherfs.decryption=dm-crypt',
    1,
    /this kernel has no dm-crypt \(.*\): say tetherfs\.decryption=tetherfs, or add its driver/,
  ],
  ['tetherfs.zram=0%', 2, /tetherfs\.zram=0%: give 1% to 400%/],
  ['tetherfs.memmbers=http://10.0.0.1/i', 2, /tetherfs\.memmbers=: no such setting; there are tetherfs\.members, /],
  ['tetherfs.insecure-key-file=/nowhere', 2, /\/nowhere/],
])('%s ends the boot, in one line', async (word, status, line) => {
  await using node = new Node([...bootWords(), word]);
  expect(await node.status, node.said).toBe(status);
  // Before what is left.
  expect(node.said.trim().split('\n').at(-2)).toMatch(line);
  expect(node.said).not.toContain('trying again');
});

it.each<[string, () => string[], RegExp]>([
  ['a digest that is none', () => ['tetherfs.digest=sha256:12zz'], /tetherfs\.digest=sha256:12zz: give sha256: and 64/],
  [
    'a file of authorities that is not there',
    () => ['tetherfs.ca-file=/nowhere.pem'],
    /tetherfs\.ca-file= \/nowhere\.pem: no such file/,
  ],
])('%s ends the boot with 2', async (_what, words, line) => {
  await using node = new Node([...bootWords(), ...words()]);
  expect(await node.status, node.said).toBe(2);
  expect(node.said).toMatch(line);
});

it('a failed boot leaves nothing that another one could take for its own', async () => {
  const disks = ramDisks();
  await using node = new Node([...bootWords(), 'tetherfs.zram=1GiB,algorithm=lzx']);
  expect(await node.status, node.said).toBe(1);
  expect(node.said).toMatch(/^left: $/m);
  expect(ramDisks()).toBe(disks);
});

it('what somebody else has mounted there stays', async () => {
  await using node = new Node([...bootWords(), 'tetherfs.zram=1GiB,algorithm=lzx'], {
    before: 'mount -t tmpfs foreign "$1"',
  });
  expect(await node.status, node.said).toBe(1);
  expect(node.said).toMatch(/^left: foreign \/\S+ tmpfs /m);
});

it('members that fall silent later are told of, and a signal ends that, too', async () => {
  const [reached, silent] = ['reached', 'silent'].map((name) => join(temp.path, name)) as [string, string];
  writeFileSync(
    join(programs, 'unsquashfs'),
    `#!/bin/sh
: >${reached}
until [ -e ${silent} ]; do sleep 0.1; done
exec /usr/bin/unsquashfs "$@"
`,
  );
  chmodSync(join(programs, 'unsquashfs'), 0o755);
  await using node = new Node([...bootWords(), 'confluent_imagemethod=uncompressed'], {
    environment: withPrograms(),
  });
  try {
    await waitUntil('the image is to be unpacked', () => existsSync(reached));
    for (const member of site.members) await member.stop();
    writeFileSync(silent, '');
    await node.says(/tetherfs: unpack: \d+ reads wait for members, the oldest for \d+ s: http:/);
    node.interrupt();
    expect(await node.status, node.said).toBe(1);
    expect(node.said).toMatch(/^left: $/m);
  } finally {
    for (const member of site.members) member.cont();
  }
});

it('a key for another image ends the boot', async () => {
  const other = join(temp.path, 'other.key');
  writeFileSync(other, `aes-xts-plain64\n${'5'.repeat(128)}\n`, { mode: 0o600 });
  await using node = new Node([...bootWords(), `tetherfs.insecure-key-file=${other}`]);
  expect(await node.status, node.said).toBe(1);
});

/** A machine that was captured, served by a member of its own. @param parts mount points, each with the files of its file system. @returns kernel arguments that boot it. */
async function captured(parts: Record<string, Record<string, string>>): Promise<{ words: string[]; member: Nginx }> {
  const directory = mkdtempSync(join(temp.path, 'captured-'));
  chmodSync(directory, 0o755);
  const partitions = Object.entries(parts).map(([mountPoint, files], index) => {
    const [tree, file] = [join(directory, `tree-${index}`), join(directory, `${index}.sfs`)];
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), text);
    }
    execFileSync('mksquashfs', [tree, file, '-quiet', '-no-progress'], { stdio: 'ignore' });
    const sizes = { minimumSize: 1, initialSize: 1 };
    return { mountPoint, json: '{}', filesystem: 'xfs', device: '/dev/sda', ...sizes, data: readFileSync(file) };
  });
  const { bytes } = capture(partitions);
  const builder = new VerityBuilder(65_536);
  builder.update(bytes);
  const { sidecar, digest } = builder.finish();
  writeFileSync(join(directory, 'rootimg.sfs'), bytes);
  writeFileSync(join(directory, `rootimg.sfs${sidecarSuffix}`), sidecar);
  const member = await Nginx.start({ address: '127.0.0.41', publicDir: directory });
  const words = [`tetherfs.members=${member.url('rootimg.sfs')}`, `tetherfs.digest=${digest}`];
  return { words, member };
}

it.each(['tethered', 'uncompressed'])(
  'a machine that was captured with several partitions has all of them: %s',
  async (method) => {
    const { words, member } = await captured({
      '/var/lib/own': { deep: 'in var/lib/own' },
      '/': { 'sbin/init': '', hostname: 'of the root', 'var/hidden': 'below' },
      '/var': { 'log/messages': 'in var' },
    });
    await using _member = member;
    await using node = new Node([...words, `confluent_imagemethod=${method}`], {
      afterwards: `cd "$1"; cat hostname var/log/messages var/lib/own/deep; ls var; echo new >var/lib/own/new; echo; cat var/lib/own/new; grep -c "^tetherfs $1" /proc/mounts; cd /; umount -R "$1"`,
    });
    expect(await node.status, node.said).toBe(0);
    const all = method === 'tethered' ? 3 : 1;
    const visible = method === 'tethered' ? 'lib\nlog' : 'hidden\nlib\nlog';
    expect(node.said).toContain(`of the rootin varin var/lib/own${visible}\n\nnew\n${all}\n`);
  },
);

it.each([
  ['without a root file system', { '/var': { a: '' } }, /the capture is of \/var: no root file system/],
  [
    'with a place outside',
    { '/': { 'sbin/init': '' }, '/../etc': { a: '' } },
    /has a partition for \/\.\.\/etc, which is no place/,
  ],
])('a capture %s ends the boot, and leaves nothing', async (_what, parts, line) => {
  const { words, member } = await captured(parts as unknown as Record<string, Record<string, string>>);
  await using _member = member;
  await using node = new Node(words);
  expect(await node.status, node.said).toBe(1);
  expect(node.said).toMatch(line);
  expect(node.said).toMatch(/^left: $/m);
});
