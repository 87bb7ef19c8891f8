/** Packing in a world that is not clean: mounts inside the tree, any umask, no room, and what a pack that was killed has left. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { removeLeftovers } from '../../src/imgutil/leftovers.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import { childrenOf, signal } from '../support/process-tree.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

let directory: TempDir;
let mounted: string[];
const at = (...path: string[]) => join(directory.path, ...path);

beforeEach(() => {
  directory = makeTempDir('pack-world');
  mounted = [];
  for (const name of ['tree/proc', 'tree/srv', 'tree/etc']) mkdirSync(at(name), { recursive: true });
  writeFileSync(at('tree/etc/hostname'), 'node\n');
});
afterEach(() => {
  for (const path of mounted.reverse()) execFileSync('umount', [path]);
  directory.remove();
});

function mount(type: string, source: string, path: string, ...more: string[]): void {
  execFileSync('mount', ['-t', type, ...more, source, path]);
  mounted.push(path);
}

function pack(...words: string[]) {
  return spawnSync(tetherfsCommand, ['image', 'pack', ...words, at('tree'), at('public')], { encoding: 'utf8' });
}

function packed(): string {
  return execFileSync('unsquashfs', ['-ls', at('public/rootimg.sfs')], { encoding: 'utf8' });
}

// Left by work in a chroot, as in https://github.com/xcat2/xcat-core/issues/730.
describe('what is mounted in the tree', () => {
  test('is left out, and named; its mountpoint is an empty directory', () => {
    mount('tmpfs', 'none', at('tree/srv'));
    writeFileSync(at('tree/srv/secret'), 'not for the image\n');
    mount('proc', 'proc', at('tree/proc'));
    const { status, stderr } = pack('--no-encrypt');
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: ['srv', 'proc']
        .map((name) => `tetherfs: left out, because it is mounted there: ${at('tree', name)}\n`)
        .join(''),
    });
    expect(
      packed()
        .trim()
        .split('\n')
        .map((line) => line.replace('squashfs-root', '')),
    ).toEqual(['', '/etc', '/etc/hostname', '/proc', '/srv']);
  });

  test('is packed when that is asked for', () => {
    mount('tmpfs', 'none', at('tree/srv'));
    writeFileSync(at('tree/srv/wanted'), 'for the image\n');
    expect(pack('--no-encrypt', '--include-mounts')).toMatchObject({ status: 0, stderr: '' });
    expect(packed()).toContain('srv/wanted');
  });

  test('and shows a part of the same file system is left out as well', () => {
    mkdirSync(at('elsewhere'));
    writeFileSync(at('elsewhere/secret'), 'not for the image\n');
    mount('none', at('elsewhere'), at('tree/srv'), '-o', 'bind');
    expect(pack('--no-encrypt')).toMatchObject({ status: 0, stderr: expect.stringContaining(at('tree/srv')) });
    expect(packed()).not.toContain('secret');
  });
});

// https://github.com/metal3-io/ironic-image/issues/236
test.each(['0', '077'])(
  'with umask %s a web server can read what is public, and nobody else what is private',
  (mask) => {
    const line = `umask ${mask}; exec "$0" image pack "$1" "$2"`;
    execFileSync('sh', ['-c', line, tetherfsCommand, at('tree'), at('www/os/public')]);
    const mode = (...path: string[]) => (statSync(at(...path)).mode & 0o777).toString(8);
    expect([mode('www'), mode('www/os'), mode('www/os/public')]).toEqual(['755', '755', '755']);
    expect([mode('www/os/public/rootimg.sfs'), mode('www/os/public/rootimg.sfs.fsverity')]).toEqual(['644', '644']);
    expect([mode('www/os/public.private'), mode('www/os/public.private/pending')]).toEqual(['700', '700']);
    expect(mode('www/os/public.private/pending/rootimg.key')).toBe('600');
  },
);

test('without room for it nothing is left, and the message says so', () => {
  mkdirSync(at('small'));
  mount('tmpfs', 'none', at('small'), '-o', 'size=1M');
  writeFileSync(at('tree/large'), readFileSync(process.execPath).subarray(0, 8 << 20));
  const tight = spawnSync(tetherfsCommand, ['image', 'pack', at('tree'), at('small/public')], { encoding: 'utf8' });
  expect({ status: tight.status, stderr: tight.stderr }).toEqual({
    status: 1,
    stderr: expect.stringMatching(/^tetherfs: there is no room for the image.*\n$/),
  });
  expect(readdirSync(at('small'))).toEqual([]);
});

describe('what a killed pack has left', () => {
  test('is removed by the next: the clear image among it', async () => {
    mkdirSync(at('bin'));
    const standIn = at('bin/mksquashfs');
    writeFileSync(standIn, '#!/bin/sh\necho clear > "$2"\nexec sleep 600\n');
    chmodSync(standIn, 0o755);
    const env = { ...process.env, PATH: `${at('bin')}:${process.env['PATH']}` };
    const child = spawn(tetherfsCommand, ['image', 'pack', at('tree'), at('public')], { env, stdio: 'ignore' });
    const clear = () =>
      existsSync(at('public.private')) &&
      readdirSync(at('public.private'), { recursive: true }).some((name) => String(name).endsWith('clear.sfs'));
    await waitUntil('it is being packed', clear);
    const children = childrenOf(child.pid ?? 0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    for (const pid of children) signal(pid, 'SIGKILL');
    expect(clear()).toBe(true);
    const { status, stderr } = pack();
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringMatching(/^tetherfs: removed what a killed pack had left: .*\.rootimg\.sfs\.pack-.*\n$/),
    });
    const all = [at('public'), at('public.private')].flatMap((path) =>
      readdirSync(path, { recursive: true, encoding: 'utf8' }),
    );
    expect(all.map(String).filter((name) => name.includes('/.') || name.startsWith('.'))).toEqual([]);
  });

  const dead = 4_194_305;

  test('when not all names were changed is taken back', async () => {
    writeFileSync(at('rootimg.key'), 'new');
    writeFileSync(at(`.rootimg.key.old-${dead}-0a`), 'old');
    symlinkSync('rootimg-old.sfs', at('rootimg.sfs'));
    symlinkSync('rootimg-new.sfs', at(`.rootimg.sfs.new-${dead}-0a`));
    expect(await removeLeftovers([directory.path])).toHaveLength(2);
    expect([readFileSync(at('rootimg.key'), 'utf8'), readlinkSync(at('rootimg.sfs'))]).toEqual([
      'old',
      'rootimg-old.sfs',
    ]);
    expect(readdirSync(directory.path).sort()).toEqual(['rootimg.key', 'rootimg.sfs', 'tree']);
  });

  test('when all names were changed is only cleaned', async () => {
    writeFileSync(at('rootimg.key'), 'new');
    writeFileSync(at(`.rootimg.key.old-${dead}-0a`), 'old');
    expect(await removeLeftovers([directory.path])).toHaveLength(1);
    expect(readFileSync(at('rootimg.key'), 'utf8')).toBe('new');
  });

  test('and what one that is running has made, or is not ours, stays', async () => {
    for (const name of [`.rootimg.sfs.new-${process.pid}-0a`, '.rootimg.sfs.new-0a0b0c0d', '.bashrc', 'rootimg.sfs']) {
      writeFileSync(at(name), '');
    }
    expect(await removeLeftovers([directory.path])).toEqual([]);
  });
});
