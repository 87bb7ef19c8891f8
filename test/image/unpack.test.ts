/** Unpacking: of profiles, files and what members serve; every inode as it was, whatever happens meanwhile. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { pack } from '../../src/imgutil/pack.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import { Nginx } from '../support/nginx.ts';
import { childrenOf, isRunning, isStopped } from '../support/process-tree.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { capture } from './captured.ts';
import { noise } from './memory-image.ts';

const factsScript = fileURLToPath(new URL('tree-facts.py', import.meta.url));

/** All that a root filesystem can hold and a squashfs, too. */
const makeEverything = `
import os, socket, struct, sys
os.chdir(sys.argv[1])
for name in ('bin', 'dev', 'empty', 'etc', 'names', 'run', 'var/tmp'): os.makedirs(name)
os.chmod('var/tmp', 0o1777)
def write(path, data, mode=0o644, owner=(0, 0)):
    with open(path, 'wb') as file: file.write(data)
    os.chown(path, *owner)
    os.chmod(path, mode)
write('etc/hostname', b'node\\n')
write('etc/secret', b'x', 0o640, (0, 42))
write('bin/su', os.urandom(300000), 0o4755)
write('bin/mail', b'tool', 0o2711, (8, 12))
write('bin/ping', b'ping', 0o755)
# cap_net_raw=ep, as capabilities(7) has it: VFS_CAP_REVISION_2.
os.setxattr('bin/ping', 'security.capability', struct.pack('<IIIII', 0x02000001, 1 << 13, 0, 0, 0))
os.setxattr('etc/hostname', 'user.mark', b'kept\\0too')
os.setxattr('empty', 'trusted.opaque', b'y')
os.link('bin/su', 'names/su')
os.link('bin/su', 'names/another')
os.symlink('/etc/hostname', 'names/absolute')
os.symlink('nowhere', 'names/dangling')
os.lchown('names/dangling', 1000, 1000)
os.mknod('dev/null', 0o20666, os.makedev(1, 3))
os.mknod('dev/disk', 0o60660, os.makedev(259, 70000 % 256))
os.mkfifo('run/pipe', 0o600)
socket.socket(socket.AF_UNIX).bind('run/socket')
with open('var/sparse', 'wb') as file:
    file.truncate(20 << 20)
    file.seek(10 << 20)
    file.write(b'island')
write(b'names/no \\xff utf-8\\n', b'')
os.utime('etc/hostname', (1, 1000000000))
for directory in ('var/tmp', 'etc', '.'): os.utime(directory, (1, 1234567890))
`;

let directory: TempDir;
/** For all of the file. */
const site = makeTempDir('unpack-site');
let nginx: Nginx[];
let digest: string;
const profile = join(site.path, 'confluent/public/os/demo');
const keyFile = join(site.path, 'confluent/private/os/demo/pending/rootimg.key');
const at = (...path: string[]) => join(directory.path, ...path);
const facts = (tree: string) => execFileSync('python3', [factsScript, tree], { encoding: 'utf8' });

async function packed(outDir: string, sourceDir = join(site.path, 'tree'), xts?: 'in clear') {
  return pack({
    ...{ sourceDir, outDir, compression: 'zstd', verityBlockSize: 4096 },
    xts: xts === undefined ? loadBinding().xts : undefined,
  });
}

beforeAll(async () => {
  mkdirSync(join(site.path, 'tree'));
  execFileSync('python3', ['-c', makeEverything, join(site.path, 'tree')]);
  ({ digest } = await packed(profile));
  // The last member's image is damaged.
  const damaged = join(site.path, 'damaged');
  execFileSync('cp', ['-a', profile, damaged]);
  const [image = ''] = readdirSync(damaged).filter((name) => /^rootimg-.*\.sfs$/.test(name));
  const bytes = readFileSync(join(damaged, image));
  for (let offset = 5_000; offset < bytes.length; offset += 10_000) bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  writeFileSync(join(damaged, image), bytes);
  nginx = await Promise.all(
    [profile, damaged].map((publicDir, index) => Nginx.start({ address: `127.0.0.7${5 + index}`, publicDir })),
  );
});
afterAll(async () => {
  for (const server of nginx ?? []) await server.close();
  site.remove();
});
beforeEach(() => {
  directory = makeTempDir('unpack');
});
afterEach(() => directory.remove());

const unpackWords = (...words: string[]) => ['image', 'unpack', '--tree', join(site.path, 'confluent'), ...words];

function unpack(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(tetherfsCommand, unpackWords(...words), { encoding: 'utf8' });
  return { status, stdout, stderr };
}

describe('an image becomes the tree that it was packed from', () => {
  test('of a profile, encrypted: every inode; and what that is packed to is the same again', async () => {
    const wanted = facts(join(site.path, 'tree'));
    expect(unpack('demo', at('tree'))).toEqual({
      status: 0,
      stdout: `tree     ${at('tree')}\ndigest   ${digest} (believing the sidecar: no --digest was given)\n`,
      stderr: '',
    });
    expect(facts(at('tree'))).toBe(wanted);
    expect(wanted.split('\n')).toHaveLength(25);
    for (const word of ['security.capability', 'trusted.opaque', 'user.mark', "'sparse'", '0o104755', '0o140'])
      expect(wanted).toContain(word);
    await packed(at('again'), at('tree'));
    expect(unpack(at('again'), at('twice')).status).toBe(0);
    expect(facts(at('twice'))).toBe(wanted);
    expect(readdirSync(directory.path).sort()).toEqual(['again', 'again.private', 'tree', 'twice']);
  });

  test('from members, of whom one is down and one has other bytes: with the right ones', () => {
    const [good, damaged] = nginx.map((server) => server.url('rootimg.sfs'));
    const members = [damaged ?? '', 'http://127.0.0.79:1/rootimg.sfs', good ?? ''];
    const { status, stdout } = unpack('--digest', digest, '--key-file', keyFile, ...members, at('tree'));
    expect({ status, stdout }).toEqual({ status: 0, stdout: `tree     ${at('tree')}\ndigest   ${digest}\n` });
    expect(facts(at('tree'))).toBe(facts(join(site.path, 'tree')));
  });

  test('in clear, without a sidecar, of a file: it says that nothing was verified', async () => {
    const { imagePath } = await packed(at('public'), undefined, 'in clear');
    copyFileSync(imagePath, at('rootimg'));
    expect(unpack(at('rootimg'), at('tree'))).toEqual({
      status: 0,
      stdout: `tree     ${at('tree')}\ndigest   not verified: there is no sidecar beside the image, and no --digest was given\n`,
      stderr: '',
    });
    expect(facts(at('tree'))).toBe(facts(join(site.path, 'tree')));
  });

  test('into a directory that something is mounted on: its root is the tree’s, too', () => {
    mkdirSync(at('disk'));
    execFileSync('mount', ['-t', 'tmpfs', 'none', at('disk')]);
    try {
      mkdirSync(at('disk/lost+found'));
      expect(unpack('--no-xattrs', 'demo', at('disk'))).toMatchObject({ status: 0, stderr: '' });
      // The root's time is that of what was done in it.
      const bare = (text: string) =>
        text
          .replace(/ \('(?:user|trusted|security)\.[^)]*\)/g, '')
          .replace(/^b'lost.*\n/m, '')
          .replace(/^(b'\.' .*) \d+$/m, '$1');
      expect(bare(facts(at('disk')))).toBe(bare(facts(join(site.path, 'tree'))));
    } finally {
      execFileSync('umount', [at('disk')]);
    }
  });

  test('a capture: each file system where it was mounted, and nowhere else', () => {
    const squashfs = (name: string, script: string) => {
      mkdirSync(at(name));
      execFileSync('sh', ['-ec', script], { cwd: at(name) });
      execFileSync('mksquashfs', [at(name), at(`${name}.sfs`), '-quiet', '-no-progress']);
      return readFileSync(at(`${name}.sfs`));
    };
    const outside = at('outside');
    mkdirSync(outside);
    const part = (mountPoint: string, data: Buffer) => ({
      ...{ mountPoint, json: '{}', filesystem: 'ext4', device: '/dev/sda1', minimumSize: 1, initialSize: 1, data },
    });
    // What lies under a mountpoint is not to be seen; a link there is not followed out of the tree.
    const { bytes } = capture([
      part('/boot', squashfs('boot', 'mkdir efi; echo kernel >vmlinuz')),
      part('/srv/data', squashfs('data', 'mkdir links; echo inside >links/file')),
      part(
        '/',
        squashfs(
          'root',
          `mkdir boot etc srv srv/data; echo hidden >boot/hidden; ln -s ${outside} srv/data/links; ln -s /srv var`,
        ),
      ),
      part('/var/lib', squashfs('lib', 'echo state >state')),
    ]);
    writeFileSync(at('capture'), bytes);
    const { status, stderr } = unpack(at('capture'), at('tree'));
    expect(existsSync(join(outside, 'file'))).toBe(false);
    expect({ status, stderr }).toMatchObject({ status: 0, stderr: '' });
    expect(
      execFileSync('find', ['.', '-type', 'f'], { cwd: at('tree'), encoding: 'utf8' })
        .split('\n')
        .sort(),
    ).toEqual(['', './boot/vmlinuz', './srv/data/links/file', './srv/lib/state']);
    expect(readdirSync(outside)).toEqual([]);
  });
});

describe('what is wrong is said, and nothing is left of it', () => {
  const damaged = (change: (bytes: Buffer) => void) => {
    execFileSync('cp', ['-a', profile, at('damaged')]);
    const bytes = readFileSync(at('damaged/rootimg.sfs'));
    change(bytes);
    writeFileSync(at('damaged/rootimg.sfs'), bytes);
    return at('damaged/rootimg.sfs');
  };
  const other = `sha256:${'0'.repeat(64)}`;
  test.each<[string, () => string[], number, RegExp]>([
    [
      'a block that is wrong',
      () => ['--key-file', keyFile, damaged((bytes) => bytes.writeUInt8(7, 9_000))],
      1,
      /one block is wrong/,
    ],
    [
      'an image that is cut off',
      () => ['--key-file', keyFile, damaged((bytes) => bytes.fill(0, 8_192))],
      1,
      /one block is wrong/,
    ],
    ['another image', () => ['--digest', other, 'demo'], 1, /wanted is sha256:0000/],
    [
      'no key',
      () => [join(site.path, 'damaged/rootimg.sfs')],
      1,
      /is encrypted, and there is no key of it: give --key-file/,
    ],
    [
      'a profile that is not there',
      () => ['dmeo'],
      2,
      /dmeo: there is no such file, and no such profile in .*public\/os/,
    ],
    ['a member without a digest', () => [nginx[0]?.url('rootimg.sfs') ?? ''], 2, /bytes over http:\/\/ need --digest/],
    ['two files', () => ['demo', 'demo'], 2, /name one image, or its URLs at several members/],
  ])('%s', (_, words, status, message) => {
    const given = words();
    const before = readdirSync(directory.path);
    const found = unpack(...given, at('tree'));
    expect({ status: found.status, stdout: found.stdout }).toEqual({ status, stdout: '' });
    expect(found.stderr).toMatch(message);
    expect(found.stderr.trim().split('\n')).toHaveLength(1);
    expect(readdirSync(directory.path)).toEqual(before);
  });

  test('a key of another image', async () => {
    const another = await packed(at('another'));
    const { status, stderr } = unpack('--key-file', another.keyPath ?? '', 'demo', at('tree'));
    expect({ status, stderr }).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/the key does not open this image/),
    });
  });

  test('a directory that is not empty', () => {
    mkdirSync(at('tree/var'), { recursive: true });
    expect(unpack('demo', at('tree'))).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/no empty directory/),
    });
    expect(readdirSync(at('tree'))).toEqual(['var']);
  });

  test('no room', () => {
    mkdirSync(at('disk'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=200k', 'none', at('disk')]);
    try {
      const { status, stderr } = unpack('demo', at('disk/tree'));
      expect({ status, stderr }).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(/there is no room for the tree/),
      });
      expect(readdirSync(at('disk'))).toEqual([]);
    } finally {
      execFileSync('umount', [at('disk')]);
    }
  });

  test('whoever is not root', () => {
    // That one may not look into our own directories.
    const checkout = '/run/checkout';
    mkdirSync(checkout);
    execFileSync('mount', ['--bind', dirname(dirname(tetherfsCommand)), checkout]);
    try {
      const run = ['--reuid=65534', '--clear-groups', join(checkout, 'bin/tetherfs')];
      const { status, stderr } = spawnSync('setpriv', [...run, ...unpackWords('demo', '/nowhere')], {
        encoding: 'utf8',
      });
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringMatching(/only root can give files their owners/),
      });
    } finally {
      execFileSync('umount', [checkout]);
    }
  });
});

describe('a run that ends early', () => {
  /** A run whose unsquashfs has done all, and does not end: however busy this machine is, it is caught in the middle. */
  async function started() {
    mkdirSync(join(site.path, 'shims'), { recursive: true });
    const shim = '#!/bin/sh\n/usr/bin/unsquashfs "$@"\nkill -STOP $$\n';
    writeFileSync(join(site.path, 'shims/unsquashfs'), shim, { mode: 0o755 });
    const child = spawn(tetherfsCommand, unpackWords('big', at('tree')), {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, PATH: `${join(site.path, 'shims')}:${process.env['PATH']}` },
    });
    const ended = once(child, 'close');
    const unsquashfs = await waitUntil('it has unpacked', () => childrenOf(child.pid ?? 0).find(isStopped));
    return { child, ended, unsquashfs };
  }

  beforeAll(async () => {
    mkdirSync(join(site.path, 'big'));
    for (let file = 0; file < 40; file++) writeFileSync(join(site.path, `big/${file}`), noise(1_000_000));
    await packed(join(site.path, 'confluent/public/os/big'), join(site.path, 'big'));
  });

  test('by Ctrl-C leaves nothing', async () => {
    const { child, ended } = await started();
    child.kill('SIGINT');
    expect(await ended).toEqual([1, null]);
    expect(readdirSync(directory.path)).toEqual([]);
  });

  test('by kill -9 leaves what the next run removes, and the next run does it all', async () => {
    const { child, ended, unsquashfs } = await started();
    child.kill('SIGKILL');
    await ended;
    const [left = ''] = readdirSync(directory.path);
    expect(left).toMatch(/^\.tree\.unpack-/);
    await waitUntil('what it ran has ended with it', () => !isRunning(unsquashfs));
    expect(unpack('big', at('tree'))).toMatchObject({
      status: 0,
      stderr: `tetherfs: removed what a killed unpack had left: ${at(left)}\n`,
    });
    expect(readdirSync(directory.path)).toEqual(['tree']);
    expect(readdirSync(at('tree'))).toHaveLength(40);
  });
});
