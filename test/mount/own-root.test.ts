/**
 * A root filesystem that stands on the mount, as a diskless node has it: programs run from it, and what tetherfs was started from has been
 * deleted, as confluent's boot script does.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { childrenOf, isRunning } from '../support/process-tree.ts';
import { waitUntil } from '../support/wait-until.ts';
import { HeldMount } from './held-mount.ts';
import { pseudoRandomBytes } from './pseudo-random.ts';
import { putPrograms } from './root-tree.ts';
import { RuntimeCopy } from './runtime-copy.ts';
import { Site } from './site.ts';

/** Only every other is read: what is read ahead of one is not the next. */
const parts = 18;
const partBytes = 1024 * 1024;
const programs = ['/bin/sh', '/usr/bin/sha256sum', '/bin/cat'];

const partOf = (number: number) => pseudoRandomBytes(partBytes, 100 + number);
const digestOf = (number: number) => createHash('sha256').update(partOf(number)).digest('hex');

function populate(tree: string): void {
  putPrograms(tree, programs);
  mkdirSync(join(tree, 'parts'));
  for (let number = 0; number < parts; number++) writeFileSync(join(tree, 'parts', String(number)), partOf(number));
}

/** A shell that lives in the root, and starts programs from it. */
class RootShell {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(root: string) {
    this.#child = spawn('chroot', [root, '/bin/sh'], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('a shell needs pipes');
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The first line that a command prints. */
  async run(command: string): Promise<string> {
    this.#child.stdin?.write(`${command} 2>&1\n`);
    return String((await this.#lines.next()).value);
  }

  digest(part: number): Promise<string> {
    return this.run(`sha256sum < /parts/${part}`).then((line) => line.split(' ')[0] ?? '');
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

let site: Site;
let runtime: RuntimeCopy;
let mount: HeldMount;
let root: string;
let shell: RootShell;

beforeAll(async () => {
  site = await Site.make({ mebibytes: 1, populate });
});
afterAll(() => site[Symbol.asyncDispose]());
beforeEach(async () => {
  for (const member of site.members) await member.restart();
  runtime = new RuntimeCopy(site.path('initramfs'));
  mount = await HeldMount.make({
    urls: site.urls(),
    mountpoint: site.newMountpoint(),
    options: ['--digest', site.digest, '--key-file', site.keyFile, '--cache-size', '2MiB', '--no-trace'],
    command: runtime.command,
  });
  root = site.path('root');
  mkdirSync(root, { recursive: true });
  execFileSync('mount', ['-o', 'loop,ro', mount.file, root], { timeout: 10_000 });
  shell = new RootShell(root);
  expect(await shell.digest(0)).toBe(digestOf(0));
  expect(readlinkSync(`/proc/${shell.pid}/root`)).toBe(root);
  runtime.remove();
  // Nothing of the daemon's is left where it was, nor does it run from the checkout.
  expect(existsSync(runtime.command)).toBe(false);
  expect(readlinkSync(`/proc/${mount.daemon}/exe`)).toContain('initramfs/');
  expect(readlinkSync(`/proc/${mount.daemon}/exe`)).toContain('(deleted)');
});
afterEach(async () => {
  await shell?.end();
  if (existsSync(root)) execFileSync('umount', ['--lazy', root]);
  await mount?.[Symbol.asyncDispose]();
});

/** The kernel forgets what it has of the image, the programs' own pages included: they are read again when they are next run. */
function dropPages(): void {
  const files = 'find "$1"/bin "$1"/lib* -type f';
  const script = `{ echo "$2"; ${files}; } | while read -r file; do dd if="$file" iflag=nocache count=0 status=none; done`;
  execFileSync('sh', ['-c', script, 'sh', root, mount.file], { timeout: 10_000 });
}

/** What the root's programs say of a part that nobody has read yet. */
async function expectPart(number: number): Promise<void> {
  dropPages();
  expect(await shell.run('cat /hello')).toBe('hello');
  expect(await shell.digest(number)).toBe(digestOf(number));
}

it('goes on, reconnects, and hands over to a version that is still there', async () => {
  await expectPart(2);
  // Members that come back, one after the other.
  for (const [index, member] of site.members.entries()) {
    await member.kill();
    await expectPart(4 + 2 * index);
    await member.restart();
  }
  for (const member of site.members) await member.kill();
  dropPages();
  const waiting = shell.digest(16);
  await waitUntil('it waits', async () => (await mount.status()).reads.waiting > 0);
  await site.members[1]?.restart();
  expect(await waiting).toBe(digestOf(16));

  await mount.takeOver();
  const { pid } = await mount.successorOf(mount.daemon);
  await expectPart(10);
  // From now on the holder starts the version that has taken over.
  process.kill(pid, 'SIGKILL');
  await mount.successorOf(pid);
  await expectPart(12);
});

it('killed with nothing to be started again from: reads wait until the files are back', async () => {
  dropPages();
  process.kill(mount.daemon, 'SIGKILL');
  let answered = false;
  const waiting = shell.digest(16).finally(() => {
    answered = true;
  });
  const tried = new Set<number>();
  const lookForTries = () => {
    for (const pid of childrenOf(mount.holder)) tried.add(pid);
    return tried.size > 2;
  };
  await waitUntil('it was started in vain', lookForTries, { intervalMs: 5 });
  await expect(mount.status()).rejects.toThrow();
  await expect(mount.takeOver()).rejects.toThrow('no tetherfs answers at');
  expect(isRunning(mount.holder)).toBe(true);
  expect(answered).toBe(false);
  runtime.restore();
  await mount.successorOf(mount.daemon, 15_000);
  expect(await waiting).toBe(digestOf(16));
});
