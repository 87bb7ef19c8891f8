import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type PackOptions, pack } from '../../src/imgutil/pack.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { compareWithTree, decryptImage, makeTree, readText } from './image-tree.ts';
import { noise } from './memory-image.ts';

const tetherfs = new URL('../../bin/tetherfs', import.meta.url).pathname;

let directory: TempDir;
const at = (...path: string[]) => join(directory.path, ...path);

beforeEach(() => {
  directory = makeTempDir('image');
});
afterEach(() => directory.remove());

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

function image(args: string[], environment: Record<string, string> = {}): Outcome {
  return spawnSync(tetherfs, ['image', ...args], { encoding: 'utf8', env: { ...process.env, ...environment } });
}

async function packed(changes: Partial<PackOptions> = {}): Promise<{ path: string; keyFile: string; digest: string }> {
  const { imagePath, keyPath, digest } = await pack({
    sourceDir: makeTree(at('tree')),
    outDir: at('public'),
    compression: 'zstd',
    verityBlockSize: 65536,
    xts: loadBinding().xts,
    ...changes,
  });
  return { path: imagePath, keyFile: keyPath ?? '', digest };
}

function damage(path: string, ...offsets: number[]): void {
  const bytes = readFileSync(path);
  for (const offset of offsets) bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe('tetherfs image pack', () => {
  test('says where everything is and how to mount it', () => {
    makeTree(at('tree'));
    const { status, stdout, stderr } = image(['pack', at('tree'), at('public')]);
    const path = at('public/rootimg.sfs');
    const [digest] = execFileSync('fsverity', ['digest', '--block-size=65536', path], { encoding: 'utf8' }).split(' ');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      `image    ${at(`public/rootimg-${digest?.slice('sha256:'.length)}.sfs`)}`,
      `link     ${path}`,
      `size     ${statSync(path).size} bytes`,
      `digest   ${digest}`,
      `sidecar  ${at(`public/rootimg-${digest?.slice('sha256:'.length)}.sfs.fsverity`)}`,
      `key      ${at('public.private/pending/rootimg.key')}`,
      `note     the key lies beside ${at('public')}: serve and copy that alone, not what is above`,
      'order    none: publish the trace of a boot, or give --boot-order, for faster boots',
      'kernel   none: the tree has no kernel in /boot, so nodes cannot boot from this profile',
      'blanked  nothing: the tree has nothing that each machine must have of its own',
      `mount    tetherfs mount --digest ${digest} --key-file rootimg.key http://MEMBER/PATH/rootimg.sfs MOUNTPOINT`,
      '',
    ]);
  });

  test('packs what --boot-order lists first, and image info tells', () => {
    makeTree(at('tree'));
    writeFileSync(at('order'), '# what it reads\nbin/tool\n/etc/hostname\n/no/such\n');
    const { status, stdout } = image(['pack', '--boot-order', at('order'), at('tree'), at('public')]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^order {4}2 files first, as .*\/order says$/m);
    expect(image(['info', at('public/rootimg.sfs')]).stdout).toContain('boot order  order\n');
    // What tells of the newest image does not tell of an older one.
    const [old = ''] = readdirSync(at('public')).filter((name) => /^rootimg-[0-9a-f]+\.sfs$/.test(name));
    expect(image(['pack', '--boot-order', 'none', at('tree'), at('public')]).stdout).toMatch(/^order {4}none/m);
    expect(image(['info', at('public', old)]).stdout).not.toContain('boot order');
    expect(JSON.parse(image(['info', '--json', at('public/rootimg.sfs')]).stdout)).toMatchObject({ bootOrder: 'none' });
  });

  test('shows the key to nobody: not on its output, not to mksquashfs', () => {
    mkdirSync(at('bin'));
    const real = execFileSync('sh', ['-c', 'command -v mksquashfs'], { encoding: 'utf8' }).trim();
    writeFileSync(at('bin/mksquashfs'), `#!/bin/sh\n{ echo "$@"; env; } > ${at('heard')}\nexec ${real} "$@"\n`);
    chmodSync(at('bin/mksquashfs'), 0o755);
    makeTree(at('tree'));
    const { stdout, stderr } = image(['pack', at('tree'), at('public')], {
      PATH: `${at('bin')}:${process.env['PATH']}`,
    });
    const key = readText(at('public.private/pending/rootimg.key')).split('\n')[1] ?? '';
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    const heard = readText(at('heard'));
    expect(heard).toContain(at('tree'));
    for (const text of [stdout, stderr, heard]) expect(text).not.toContain(key.slice(0, 16));
  });

  test('is reproducible under the encryption with SOURCE_DATE_EPOCH', () => {
    makeTree(at('tree'));
    for (const name of ['one', 'two']) {
      expect(image(['pack', at('tree'), at(name)], { SOURCE_DATE_EPOCH: '1000000000' }).status).toBe(0);
    }
    const clear = (name: string) =>
      decryptImage(readFileSync(at(name, 'rootimg.sfs')), readText(at(`${name}.private/pending/rootimg.key`)));
    expect(clear('one').equals(clear('two'))).toBe(true);
    expect(readFileSync(at('one/rootimg.sfs')).equals(readFileSync(at('two/rootimg.sfs')))).toBe(false);
  });

  test('keeps extended attributes', () => {
    makeTree(at('tree'));
    execFileSync('python3', [
      '-c',
      'import os, sys; os.setxattr(sys.argv[1], "user.mark", b"kept")',
      at('tree/etc/hostname'),
    ]);
    expect(image(['pack', at('tree'), at('public'), '--no-encrypt']).status).toBe(0);
    compareWithTree(at('public/rootimg.sfs'), at('tree'), at('unpacked'));
    const mark = execFileSync('python3', [
      '-c',
      'import os, sys; print(os.getxattr(sys.argv[1], "user.mark"))',
      at('unpacked/etc/hostname'),
    ]);
    expect(mark.toString()).toContain('kept');
  });

  test('fails when a file cannot be read, rather than pack an empty one', () => {
    chmodSync(join(makeTree(at('tree')), 'etc/hostname'), 0);
    const powerless = '--bounding-set=-dac_override,-dac_read_search';
    const args = [powerless, tetherfs, 'image', 'pack', at('tree'), at('public')];
    const { status, stderr } = spawnSync('setpriv', args, { encoding: 'utf8' });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: `tetherfs: mksquashfs failed: Failed to read file ${at('tree/etc/hostname')}\n`,
    });
    expect(readdirSync(directory.path)).toEqual(['tree']);
  });

  test('fails with mksquashfs’s reason and leaves nothing behind', () => {
    mkdirSync(at('bin'));
    writeFileSync(at('bin/mksquashfs'), '#!/bin/sh\necho half > "$2"\necho "FATAL ERROR: no space" >&2\nexit 1\n');
    chmodSync(at('bin/mksquashfs'), 0o755);
    makeTree(at('tree'));
    const outcome = image(['pack', at('tree'), at('public')], { PATH: `${at('bin')}:${process.env['PATH']}` });
    expect(outcome).toMatchObject({
      status: 1,
      stdout: '',
      stderr: 'tetherfs: mksquashfs failed: FATAL ERROR: no space\n',
    });
    expect(readdirSync(directory.path).sort()).toEqual(['bin', 'tree']);
  });

  test.each([
    [['--block-size', '5000'], /power of two from 4096 to 1048576/],
    [['--compression', 'rar'], /zstd, xz, gzip, lz4/],
  ])('calls %j wrong usage', (flags, message) => {
    makeTree(at('tree'));
    const { status, stderr } = image(['pack', at('tree'), at('public'), ...flags]);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });
});

describe('tetherfs image info', () => {
  test('of an empty file', () => {
    writeFileSync(at('empty'), '');
    const { status, stdout } = image(['info', '--json', at('empty')]);
    expect({ status, ...JSON.parse(stdout) }).toMatchObject({ status: 1, problems: ['the image is empty'] });
  });

  test('tells an encrypted image’s format, sizes and digest without the key', async () => {
    const { path, digest } = await packed();
    const { status, stdout } = image(['info', '--json', path]);
    const imageSize = statSync(path).size;
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      location: path,
      imageSize,
      format: 'encrypted',
      label: 'CONFLUENT_CRYPTIMAGE',
      encryption: { cipher: 'aes-xts-plain64', payloadSize: imageSize - 4096 },
      verity: { digest, blockSize: 65536, from: 'sidecar' },
      bootOrder: 'none',
      problems: [],
    });
  });

  test('looks through the encryption with the key', async () => {
    const { path, keyFile } = await packed({ compression: 'gzip' });
    const { content } = JSON.parse(image(['info', '--json', '--key-file', keyFile, path]).stdout);
    expect(content).toMatchObject({
      format: 'squashfs',
      squashfs: { compression: 'gzip', blockSize: 131072, inodes: 8 },
    });
    expect(image(['info', '--key-file', keyFile, path]).stdout).toMatch(
      /^squashfs +gzip, blocks of 131072 bytes, 8 inodes/m,
    );
  });

  test('computes the digest only when asked, with the block size asked for', async () => {
    const { path, digest } = await packed({ verityBlockSize: 4096 });
    rmSync(`${path}.fsverity`);
    expect(JSON.parse(image(['info', '--json', path]).stdout).verity).toBeUndefined();
    const asked = JSON.parse(image(['info', '--json', '--digest', '--block-size', '4096', path]).stdout);
    expect(asked.verity).toEqual({ digest, blockSize: 4096, from: 'computed' });
  });

  test('says what is wrong, and what it knows all the same', async () => {
    const { path, keyFile } = await packed();
    damage(`${path}.fsverity`, 65000);
    writeFileSync(keyFile, `aes-xts-plain64\n${'0f'.repeat(32)}\n`);
    const { status, stdout } = image(['info', '--key-file', keyFile, path]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^format +encrypted/m);
    expect(stdout).toMatch(/^problem +the key does not open this image; is it the key of an older or newer one\?$/m);
    expect(stdout).toMatch(/^problem +fs-verity sidecar: level 0 of the Merkle tree/m);
  });

  test('notices the sidecar of an older image', async () => {
    const { path } = await packed();
    writeFileSync(path, readFileSync(path).subarray(0, -512));
    expect(image(['info', path]).stdout).toMatch(/^problem +fs-verity sidecar: is for an image of/m);
  });

  test('fails when there is no image', () => {
    expect(image(['info', at('nothing')])).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('no such file'),
    });
  });
});

describe('tetherfs image verify', () => {
  test('accepts what was packed, with digest, sidecar and key', async () => {
    const { path, keyFile, digest } = await packed();
    const { status, stdout } = image(['verify', '--digest', digest, '--key-file', keyFile, path]);
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: `${path}: all ${statSync(path).size} bytes are right\n${digest}\n`,
    });
  });

  test('names the offset of each wrong block', async () => {
    const { path, digest } = await packed();
    damage(path, 0, 65536 * 3 + 17, 65536 * 4 - 1);
    const { status, stdout, stderr } = image(['verify', '--digest', digest, path]);
    expect(status).toBe(1);
    expect(stdout).toBe('wrong block at 0+65536\nwrong block at 196608+65536\n');
    expect(stderr).toBe(`tetherfs: ${path}: 2 blocks are wrong: copy or pack the image again\n`);
  });

  test('does not believe a sidecar that belongs to another digest', async () => {
    const { path } = await packed();
    const { status, stderr } = image(['verify', '--digest', 'a'.repeat(64), path]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/belongs to another image/);
  });

  test('says that it believed the sidecar when no digest was given', async () => {
    const { path } = await packed();
    expect(image(['verify', path])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('believing the sidecar'),
    });
  });

  test('without a sidecar needs the digest, and then tells right from wrong', async () => {
    const { path, digest } = await packed();
    rmSync(`${path}.fsverity`);
    expect(image(['verify', path])).toMatchObject({ status: 2, stderr: expect.stringContaining('--digest') });
    expect(image(['verify', '--digest', digest, path]).status).toBe(0);
    damage(path, 5000);
    expect(image(['verify', '--digest', digest, path])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /the image has digest sha256:.* in blocks of 65536 bytes, wanted is sha256:.*: it is damaged, another image, or was packed with another --block-size/,
      ),
    });
  });

  test('refuses a key that does not open the image, without showing it', async () => {
    const { path } = await packed();
    const wrong = noise(32).toString('hex');
    writeFileSync(at('wrong.key'), `aes-xts-plain64\n${wrong}\n`);
    const { status, stdout, stderr } = image(['verify', '--key-file', at('wrong.key'), path]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(
        /^tetherfs: \/.*rootimg(-[0-9a-f]{64})?\.sfs: the key does not open this image; is it the key of an older or newer one\?\n$/,
      ),
    });
    expect(stdout + stderr).not.toContain(wrong.slice(0, 16));
  });

  test('refuses an image that is cut off, or empty', async () => {
    const { path, digest } = await packed();
    copyFileSync(path, at('whole'));
    writeFileSync(path, readFileSync(path).subarray(0, -4096));
    expect(image(['verify', path])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('sidecar is for one of'),
    });
    writeFileSync(at('empty'), '');
    expect(image(['verify', '--digest', digest, at('empty')])).toMatchObject({
      status: 1,
      stderr: 'tetherfs: the image is empty\n',
    });
  });
});
