/**
 * The machine's root as a boot makes it: tetherfs is started in an initramfs, and switch_root (util-linux) makes a squashfs on its mount the root, and
 * deletes the initramfs. Nothing that starts later may have to read what the daemon serves before it serves it.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { statusSchema } from '../../src/mount/status.ts';
import { onOutput } from '../support/child-output.ts';
import { closed, opened } from '../support/teardown.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { pseudoRandomBytes } from './pseudo-random.ts';
import { putPrograms } from './root-tree.ts';
import { Site } from './site.ts';

const builder = fileURLToPath(new URL('../../scripts/build-runtime', import.meta.url));
const runtime = '/run/initramfs/tetherfs/runtime';
const image = '/run/initramfs/tetherfs/image';
const programs = [
  '/bin/sh',
  '/bin/cat',
  '/bin/mount',
  '/bin/mkdir',
  '/bin/readlink',
  '/bin/uname',
  '/usr/bin/sha256sum',
  '/bin/dd',
];

/** What a program of this machine reads before it does anything: in the image it lies on the mount. */
const readByEverybody = ['/etc/ld.so.cache', '/etc/localtime', '/etc/nsswitch.conf', '/etc/hosts', '/etc/passwd'];

function populate(tree: string): void {
  putPrograms(tree, programs);
  for (const directory of ['dev', 'proc', 'sys', 'run', 'etc/ssl', 'tmp'])
    mkdirSync(join(tree, directory), { recursive: true });
  for (const path of readByEverybody.filter((path) => existsSync(path))) copyFileSync(path, join(tree, path));
  // Two in one squashfs block would be read together.
  for (let number = 0; number < 8; number++)
    writeFileSync(join(tree, `part-${number}`), pseudoRandomBytes(1 << 20, number));
}

const temp = makeTempDir('new-root');
const built = join(temp.path, 'runtime');
let site: Site;
let shell: MachineShell;

beforeAll(async () => {
  site = await Site.make({ mebibytes: 1, populate });
  await promisify(execFile)(builder, [built]);
});
afterAll(async () => {
  await site[Symbol.asyncDispose]();
  temp.remove();
});

/** Process 1 of a machine: a shell in its initramfs, then in its root. */
class MachineShell implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #said = '';
  #commands = 0;
  /** Its directory in /sys/fs/fuse/connections, when there is one. */
  connection: string | undefined;

  /** @param initramfs its tree. */
  constructor(initramfs: string) {
    const become = `
      mount -t tmpfs initramfs "$1" && cp -a "$2"/. "$1" && cd "$1"
      for part in proc sys dev; do mount --rbind /$part $part; done
      mount -t tmpfs run run && mkdir -p .${runtime} && mount --bind "$3" .${runtime}
      pivot_root . old && cd / && exec /bin/sh`;
    const place = join(temp.path, 'place');
    mkdirSync(place, { recursive: true });
    this.#child = spawn(
      'unshare',
      [
        '--mount',
        '--propagation',
        'private',
        '--pid',
        '--fork',
        '--kill-child',
        '--mount-proc',
        'sh',
        '-ec',
        become,
        'sh',
        place,
        initramfs,
        built,
      ],
      { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: '/bin:/sbin:/usr/bin:/usr/sbin' } },
    );
    onOutput(this.#child, (text) => {
      this.#said += text;
    });
    this.#ended = new Promise((resolve) => this.#child.on('close', resolve));
    opened(this);
  }

  /** @returns what it printed. @throws Error when its exit status is not 0, or it does not end. */
  async run(command: string): Promise<string> {
    const number = ++this.#commands;
    const from = this.#said.length;
    this.#type(`{ ${command}\n} 2>&1; echo "<$?:${number}>"`);
    const found = await waitUntil(
      `"${command}" has ended`,
      () => new RegExp(`^<(\\d+):${number}>$`, 'm').exec(this.#said.slice(from)) ?? undefined,
    ).catch((cause) => {
      throw new Error(`"${command}" does not end: ${this.#said.slice(from)}`, { cause });
    });
    const words = this.#said.slice(from, from + found.index);
    if (found[1] !== '0') throw new Error(`${command}: ${found[1]}: ${words}`);
    return words;
  }

  /** Runs a command that takes its place. What is typed before it says `words` may be lost: a shell reads in advance. */
  async becomes(command: string, words: string): Promise<void> {
    const from = this.#said.length;
    this.#type(command);
    await waitUntil(`it says "${words}"`, () => this.#said.slice(from).includes(words));
  }

  #type(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Whoever waits for the mount cannot be killed: its connection is ended first. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.connection !== undefined) writeFileSync(`${this.connection}/abort`, '1');
    this.#child.kill('SIGKILL');
    await this.#ended;
    closed(this);
  }
}

const tetherfs = `${runtime}/tetherfs`;
const status = async () => statusSchema.parse(JSON.parse(await shell.run(`${tetherfs} status --json ${image}`)));

beforeEach(async () => {
  const initramfs = join(temp.path, 'initramfs');
  putPrograms(initramfs, [...programs, '/sbin/switch_root']);
  for (const directory of ['proc', 'sys', 'dev', 'run', 'old', 'root', 'etc', 'tmp'])
    mkdirSync(join(initramfs, directory), { recursive: true });
  cpSync(site.keyFile, join(initramfs, 'etc/key'));
  shell = new MachineShell(initramfs);
  const words = ['--digest', site.digest, '--key-file', '/etc/key', '--cache-size', '2MiB', '--no-trace'];
  await shell.run(`mkdir -p ${image}`);
  await shell.run(`${tetherfs} mount ${words.join(' ')} ${site.urls().join(' ')} ${image}`);
  const mounts = await shell.run('cat /proc/self/mountinfo');
  shell.connection = `/sys/fs/fuse/connections/${/ 0:(\d+) .* - fuse\.tetherfs /.exec(mounts)?.[1]}`;
  await shell.run(`mount -t squashfs -o loop,ro ${image}/rootimg.sfs /root`);
  await shell.becomes("exec switch_root /root /bin/sh -c 'echo the root; exec sh'", 'the root');
});
afterEach(() => shell?.[Symbol.asyncDispose]());

/** What the kernel has of the root's files, and of the image, is forgotten. (Not by drop_caches, which is for the whole machine.) */
const forget = () =>
  shell.run(`for file in /etc/* /bin/* /lib*/* /lib/*/* /part-* ${image}/*; do
    [ ! -f "$file" ] || dd if="$file" iflag=nocache count=0 status=none
  done`);

async function successorOf(pid: number): Promise<number> {
  return waitUntil('a successor answers', async () => {
    const found = await status();
    return found.pid !== pid && found.pid;
  });
}

it('nothing of the initramfs is left, and the root stands on the mount', async () => {
  expect(await shell.run('cat /proc/self/mountinfo')).toContain(' / / ro');
  expect(await shell.run('[ -e /etc/key ] || echo gone')).toBe('gone\n');
  expect((await status()).pid).toBeGreaterThan(1);
});

it('a crash is a pause, also when everything that programs begin with must be read from the mount first', async () => {
  let { pid } = await status();
  for (let round = 0; round < 3; round++) {
    await forget();
    await shell.run(`kill -9 ${pid}`);
    pid = await successorOf(pid);
    expect(await shell.run(`sha256sum /part-${round}`)).toContain(`/part-${round}`);
  }
  expect((await status()).reads.failed).toBe(0);
});

it('a takeover, and a crash after it', async () => {
  const { pid } = await status();
  await shell.run(`${tetherfs} takeover ${image}`);
  const taken = await successorOf(pid);
  // Its root directory is not the one that it serves: what it looks up there it would wait for.
  expect(await shell.run(`[ -e /proc/${taken}/root/hello ] || echo elsewhere`)).toBe('elsewhere\n');
  for (let round = 0; round < 4; round++) {
    await forget();
    expect((await status()).pid).toBe(taken);
    expect(await shell.run(`sha256sum /part-${round}`)).toContain(`/part-${round}`);
  }
  await forget();
  await shell.run(`kill -9 ${taken}`);
  await successorOf(taken);
  expect(await shell.run('sha256sum /part-4')).toContain('/part-4');
});

it('becomes untethered, and tethered again: its loop device follows', async () => {
  const backing = () => shell.run('cat /sys/block/loop*/loop/backing_file');
  await shell.run(`${tetherfs} untether ${image}`);
  await waitUntil('the loop device reads from RAM', async () => (await backing()).includes('memfd:tetherfs-image'));
  await shell.run(`${tetherfs} retether ${image}`);
  await waitUntil('it reads from the mount', async () => (await backing()).includes('rootimg.sfs'));
  expect(await shell.run('sha256sum /part-5')).toContain('/part-5');
});
