/** Every name of a directory is the same mount: it is found by its device, not by the text of a path. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isMounted, tetherfsCommand } from '../support/daemon.ts';
import { isRunning } from '../support/process-tree.ts';
import { waitUntil } from '../support/wait-until.ts';
import { HeldMount } from './held-mount.ts';
import { expectWhole } from './reading.ts';
import { Site } from './site.ts';

const run = promisify(execFile);
/** Our program, and what it printed. */
const tetherfs = async (words: readonly string[], cwd = '/') => (await run(tetherfsCommand, words, { cwd })).stdout;

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 2, members: 1 });
});
afterAll(() => site[Symbol.asyncDispose]());

let directories = 0;
/** A directory of its own, with directories in it. */
function directory(...within: string[]): string {
  const made = site.path(`names-${++directories}`);
  for (const path of ['', ...within]) mkdirSync(join(made, path), { recursive: true });
  return made;
}

/** A mount on `path`, which the command line is told as `called` from `cwd`. */
function mountOn(path: string, called = path, options: readonly string[] = [], cwd = '/'): Promise<HeldMount> {
  return HeldMount.make({
    urls: site.urls(),
    mountpoint: path,
    options: ['--digest', site.digest, ...options],
    start: (command, words) => run(command, [...words.slice(0, -1), called], { cwd }),
  });
}

async function pidOf(name: string, cwd?: string): Promise<number> {
  return JSON.parse(await tetherfs(['status', '--json', name], cwd)).pid;
}

/** All that can be asked of a mount, by that name; then it is unmounted by it, and nothing is left. */
async function expectIs(mount: HeldMount, name: string, cwd?: string): Promise<void> {
  expect(await pidOf(name, cwd)).toBe(mount.daemon);
  expect(await tetherfs(['trace', 'show', name], cwd)).toContain('chunks');
  await tetherfs(['untether', '--wait', name], cwd);
  await tetherfs(['retether', name], cwd);
  await tetherfs(['takeover', name], cwd);
  const successor = await pidOf(name, cwd);
  expect(successor).not.toBe(mount.daemon);
  await expectWhole(mount.file, site.served);
  await tetherfs(['unmount', name], cwd);
  expect(isMounted(mount.mountpoint)).toBe(false);
  expect(isRunning(successor)).toBe(false);
}

describe('symbolic links', () => {
  // As /mnt is one on ostree systems: https://github.com/borgbase/vorta/issues/1461.
  it('above the mountpoint', async () => {
    const root = directory('var/mnt/image');
    symlinkSync('var/mnt', join(root, 'mnt'));
    await using mount = await mountOn(join(root, 'var/mnt/image'), join(root, 'mnt/image'));
    await expectIs(mount, join(root, 'mnt/image'));
  });

  it('to the mountpoint', async () => {
    const root = directory('image');
    symlinkSync('image', join(root, 'link'));
    await using mount = await mountOn(join(root, 'image'));
    await expectIs(mount, join(root, 'link'));
  });
});

// https://github.com/echocat/nagios-plugin-check_mountpoints/issues/30
it('the spelling of a path is of no importance', async () => {
  const root = directory('image');
  await using mount = await mountOn(join(root, 'image'), './image/', [], root);
  for (const name of ['image/.', `../${basename(root)}//image`, 'image/../image']) {
    expect(await pidOf(name, root)).toBe(mount.daemon);
  }
  await tetherfs(['unmount', 'image/'], root);
  expect(isMounted(mount.mountpoint)).toBe(false);
});

// What is escaped in the kernel's list (https://github.com/nilfs-dev/nilfs-utils/issues/22), what a socket cannot be called, and the longest.
it.each(['a blank\ttab\nline \\040#1-wurzel-ü-根', 'x'.repeat(255)])('any directory: %j', async (name) => {
  const path = join(directory(name), name);
  await using mount = await mountOn(path);
  await expectIs(mount, path);
});

it('a mount has one daemon, wherever else it is mounted; the other place can go by itself', async () => {
  const root = directory('image', 'other');
  await using mount = await mountOn(join(root, 'image'));
  execFileSync('mount', ['--bind', join(root, 'image'), join(root, 'other')]);
  expect(await pidOf(join(root, 'other'))).toBe(mount.daemon);
  await tetherfs(['unmount', join(root, 'other')]);
  expect([isMounted(join(root, 'other')), isMounted(mount.mountpoint)]).toEqual([false, true]);
  await expectIs(mount, mount.mountpoint);
});

it('a directory above it gets another name: it is found by the new one, and SIGTERM unmounts it there', async () => {
  const root = directory('before/image');
  await using mount = await mountOn(join(root, 'before/image'));
  renameSync(join(root, 'before'), join(root, 'after'));
  expect(await pidOf(join(root, 'after/image'))).toBe(mount.daemon);
  process.kill(mount.daemon, 'SIGTERM');
  await waitUntil('it has ended', () => mount.leftovers().length === 0);
  expect(isMounted(join(root, 'after/image'))).toBe(false);
});

it('a control socket elsewhere is found by the mount, and by the list of all', async () => {
  const root = directory('image');
  await using mount = await mountOn(join(root, 'image'), undefined, ['--control', '/run/elsewhere.sock']);
  expect(mount.control).toBe('/run/elsewhere.sock');
  expect(await tetherfs(['status'])).toContain(mount.mountpoint);
  process.kill(mount.daemon, 'SIGKILL');
  const { pid } = await mount.successorOf(mount.daemon);
  expect(await pidOf(mount.mountpoint)).toBe(pid);
});

it('a directory where it was once is not the mount; there another can be made', async () => {
  const root = directory('before/image');
  await using mount = await mountOn(join(root, 'before/image'));
  renameSync(join(root, 'before'), join(root, 'after'));
  mkdirSync(join(root, 'before/image'), { recursive: true });
  for (const command of ['status', 'untether', 'takeover']) {
    const asked = tetherfs([command, join(root, 'before/image')]);
    await expect(asked).rejects.toMatchObject({ stderr: expect.stringMatching(/is not a mount of tetherfs/) });
  }
  expect(JSON.parse(await tetherfs(['status', '--json', join(root, 'after/image')])).mountpoint).toBe(
    join(root, 'after/image'),
  );
  await using other = await mountOn(join(root, 'before/image'));
  expect(await pidOf(join(root, 'before/image'))).toBe(other.daemon);
  expect(await pidOf(join(root, 'after/image'))).toBe(mount.daemon);
  await tetherfs(['unmount', join(root, 'after/image')]);
});

it('one that was detached in use is shown as that, and leaves its place to another', async () => {
  const root = directory('image');
  await using mount = await mountOn(join(root, 'image'));
  await using _user = await open(mount.file);
  await tetherfs(['unmount', '--lazy', mount.mountpoint]);
  expect(await tetherfs(['status'])).toContain('DETACHED');
  await using other = await mountOn(join(root, 'image'));
  expect(await pidOf(join(root, 'image'))).toBe(other.daemon);
});

it('a loop device that stands on it is named, and where it is mounted', async () => {
  const root = directory('image', 'root');
  await using mount = await mountOn(join(root, 'image'), undefined, ['--key-file', site.keyFile]);
  execFileSync('mount', ['-o', 'loop,ro', mount.file, join(root, 'root')]);
  const unmounting = tetherfs(['unmount', mount.mountpoint]);
  const said = new RegExp(`in use by /dev/loop\\d+: "umount ${join(root, 'root')}" first, or give --lazy`);
  await expect(unmounting).rejects.toMatchObject({ code: 1, stderr: expect.stringMatching(said) });
  execFileSync('umount', [join(root, 'root')]);
  await waitUntil('the kernel has let go of it', () =>
    tetherfs(['unmount', mount.mountpoint]).then(
      () => true,
      () => false,
    ),
  );
});

it('its name is no message to whoever keeps its descriptors', async () => {
  const root = directory();
  const path = join(root, 'n\nFDSTOREREMOVE=1\nFDNAME=fuse');
  mkdirSync(path);
  await using mount = await mountOn(path);
  process.kill(mount.daemon, 'SIGKILL');
  await mount.successorOf(mount.daemon);
  await expectWhole(mount.file, site.served);
});

it.each(['--net', '--mount'])('a takeover from another namespace is refused: %s', async (kind) => {
  const root = directory('image');
  await using mount = await mountOn(join(root, 'image'));
  const takingOver = run('unshare', [kind, tetherfsCommand, 'takeover', mount.mountpoint]);
  await expect(takingOver).rejects.toMatchObject({
    stderr: expect.stringMatching(/nsenter --target \d+ --(net|mount)/),
  });
  expect(await pidOf(mount.mountpoint)).toBe(mount.daemon);
});

describe('what is no mount of ours', () => {
  it('is left alone, also when it lies over one', async () => {
    const root = directory('image');
    await using mount = await mountOn(join(root, 'image'));
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', mount.mountpoint]);
    const unmounting = tetherfs(['unmount', mount.mountpoint]);
    await expect(unmounting).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/is not a mount of tetherfs/),
    });
    expect(isMounted(mount.mountpoint)).toBe(true);
    // Nor does a signal end it, or abort it the second time.
    for (const _ of [1, 2]) {
      process.kill(mount.daemon, 'SIGTERM');
      expect(JSON.parse(await tetherfs(['status', '--json', '--control', mount.control])).pid).toBe(mount.daemon);
    }
    execFileSync('umount', [mount.mountpoint]);
    expect(await pidOf(mount.mountpoint)).toBe(mount.daemon);
    process.kill(mount.daemon, 'SIGTERM');
    await waitUntil('it has ended', () => mount.leftovers().length === 0);
  });

  const commands = ['status', 'unmount', 'takeover', 'untether', 'retether'];
  it.each([
    ['/', ['status']],
    ['/etc/hostname', ['unmount']],
    [dirname(tetherfsCommand), ['unmount']],
    ['/nonexistent', commands],
  ])('%s: one line of %s says so', async (path, asked) => {
    for (const command of asked) {
      await expect(tetherfs([command, path])).rejects.toMatchObject({
        code: 1,
        stderr: `tetherfs: ${path} is not a mount of tetherfs\n`,
      });
    }
  });
});
