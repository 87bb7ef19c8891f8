/** `image prepare`, and `profile cmdline`. What comes of it boots in test/boot. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkoutCommand } from '../support/daemon.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';

const checkout = dirname(dirname(checkoutCommand));
let directory: TempDir;
const at = (...path: string[]) => join(directory.path, ...path);
const inTree = (...path: string[]) => at('tree', ...path);

const programs = ['usr/sbin/mkfs.xfs', 'usr/sbin/dmsetup', 'usr/sbin/modprobe', 'usr/sbin/losetup', 'usr/bin/ip'];
const hooks = {
  'initramfs-tools': ['hooks', 'scripts', 'conf.d'].map((part) => `usr/share/initramfs-tools/${part}/tetherfs`),
  dracut: [
    ...['module-setup.sh', 'parse-tetherfs.sh', 'mount-tetherfs.sh'].map(
      (name) => `usr/lib/dracut/modules.d/90tetherfs/${name}`,
    ),
    'usr/lib/dracut/dracut.conf.d/tetherfs.conf',
  ],
};

function put(path: string, content = ''): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
}

beforeEach(() => {
  directory = makeTempDir('prepare');
  put('runtime.sfs', 'hsqs, the runtime');
  for (const program of programs) put(`tree/${program}`);
});
afterEach(() => directory.remove());

const tetherfs = (...words: string[]) => spawnSync(checkoutCommand, words, { encoding: 'utf8' });
const prepare = (...words: string[]) =>
  tetherfs('image', 'prepare', '--runtime', at('runtime.sfs'), ...words, at('tree'));
const has = (tool: 'initramfs-tools' | 'dracut') =>
  put(tool === 'dracut' ? 'tree/usr/bin/dracut' : 'tree/usr/sbin/mkinitramfs');

describe('image prepare', () => {
  it('without the right to write there says who has it, and leaves nothing', () => {
    has('dracut');
    const before = readdirSync(inTree('usr'));
    execFileSync('chattr', ['+i', inTree('usr')]);
    try {
      const { status, stderr } = prepare();
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringMatching(/^tetherfs: the tree cannot be written to \(.*usr.*\): run this as root\n$/),
      });
      expect(readdirSync(inTree('usr'))).toEqual(before);
    } finally {
      execFileSync('chattr', ['-i', inTree('usr')]);
    }
  });

  for (const tool of ['initramfs-tools', 'dracut'] as const) {
    it(`puts runtime and hook into a tree with ${tool}, again and again`, () => {
      has(tool);
      for (const round of [1, 2]) {
        const { status, stdout, stderr } = prepare();
        expect({ round, status, stderr }).toEqual({ round, status: 0, stderr: '' });
        expect(stdout).toMatch(new RegExp(`^prepared for ${tool}:\n`));
        expect(readFileSync(inTree('usr/lib/tetherfs/runtime.sfs'), 'utf8')).toBe('hsqs, the runtime');
        expect(statSync(inTree('usr/lib/tetherfs/boot')).mode & 0o777).toBe(0o755);
        for (const file of hooks[tool]) expect(statSync(inTree(file)).size).toBeGreaterThan(0);
        expect(readlinkSync(inTree('usr/bin/tetherfs'))).toBe('/run/initramfs/tetherfs/runtime/tetherfs');
      }
      expect(readdirSync(inTree('usr/lib/tetherfs')).sort()).toEqual(['boot', 'runtime.sfs', 'with-runtime']);
    });
  }

  it('a tree with systemd gets what its nodes do once they have booted, enabled as a package does it', () => {
    has('dracut');
    mkdirSync(inTree('usr/lib/systemd/system'), { recursive: true });
    const links = {
      'multi-user.target.wants/tetherfs-node.service': '../tetherfs-node.service',
      'timers.target.wants/tetherfs-members.timer': '../tetherfs-members.timer',
    };
    for (const round of [1, 2]) {
      const { stdout } = prepare();
      for (const [at, to] of Object.entries(links)) {
        expect([round, readlinkSync(inTree('usr/lib/systemd/system', at))]).toEqual([round, to]);
        expect(stdout.includes(at)).toBe(round === 1);
      }
      for (const name of ['tetherfs-node.service', 'tetherfs-members.service', 'tetherfs-members.timer'])
        expect(readFileSync(inTree('usr/lib/systemd/system', name), 'utf8')).toBe(
          readFileSync(join(checkout, 'systemd', name), 'utf8'),
        );
    }
  });

  it('links are followed inside the tree, and a command that is there is left alone', () => {
    has('initramfs-tools');
    mkdirSync(inTree('opt/lib'), { recursive: true });
    symlinkSync('/opt/lib', inTree('usr/lib'));
    put('tree/usr/bin/tetherfs', 'mine');
    expect(prepare().status).toBe(0);
    expect(readdirSync(inTree('opt/lib/tetherfs')).sort()).toEqual(['boot', 'runtime.sfs', 'with-runtime']);
    expect(readFileSync(inTree('usr/bin/tetherfs'), 'utf8')).toBe('mine');
  });

  it('names what a node boots with and the tree has not', () => {
    has('dracut');
    chmodSync(inTree('usr/sbin'), 0o755);
    symlinkSync('sbin-elsewhere', inTree('usr/sbin/mkfs.xfs.old'));
    spawnSync('rm', [inTree('usr/sbin/mkfs.xfs')]);
    const { status, stderr } = prepare();
    expect(status).toBe(1);
    expect(stderr).toBe('tetherfs: the tree has no mkfs.xfs, which a node boots with: install xfsprogs in it\n');
  });

  it('one line says what is wrong with a tree, and leaves it as it is', () => {
    const before = readdirSync(inTree('usr')).sort();
    expect(prepare().stderr).toMatch(/has nothing that makes an initramfs: install initramfs-tools or dracut in it/);
    expect(tetherfs('image', 'prepare', '--runtime', at('nowhere.sfs'), at('tree')).stderr).toMatch(
      /nowhere\.sfs is missing: make it by npm run build:runtime\n$/,
    );
    put('no-runtime', 'something else');
    expect(tetherfs('image', 'prepare', '--runtime', at('no-runtime'), at('tree')).stderr).toMatch(
      /is no squashfs: make it by/,
    );
    mkdirSync(at('empty'));
    expect(tetherfs('image', 'prepare', '--runtime', at('runtime.sfs'), at('empty')).stderr).toMatch(
      /is no root filesystem: it has no \/usr/,
    );
    expect(readdirSync(inTree('usr')).sort()).toEqual(before);
    expect(tetherfs('image', 'prepare', '--runtime', at('runtime.sfs'), '/').stderr).toMatch(/\/ is this machine/);
  });

  it('what other packages have in the directories of a tool does not make it one', () => {
    mkdirSync(inTree('usr/share/initramfs-tools/hooks'), { recursive: true });
    mkdirSync(inTree('usr/lib/dracut/modules.d'), { recursive: true });
    expect(prepare().stderr).toMatch(/has nothing that makes an initramfs/);
  });
});

describe('profile cmdline', () => {
  function profile(yaml: string): void {
    mkdirSync(inTree('etc'), { recursive: true });
    const { status, stderr } = tetherfs('image', 'pack', '--no-encrypt', at('tree'), at('public'));
    expect({ status, stderr }).toMatchObject({ status: 0 });
    writeFileSync(at('public/profile.yaml'), yaml);
  }
  const cmdline = (...words: string[]) => tetherfs('profile', 'cmdline', ...words, at('public'));
  const digest = () => /sha256:[0-9a-f]{64}/.exec(tetherfs('image', 'info', at('public/rootimg.sfs')).stdout)?.[0];

  it('is what the profile says, and where its image is', () => {
    profile('label: x\nkernelargs: quiet confluent_imagemethod=untethered\n');
    const members = ['--member', 'http://10.0.0.1/os/demo', '--member', 'https://[fe80::1%25eth0]/os/demo/'];
    expect(cmdline(...members).stdout).toBe(
      `quiet confluent_imagemethod=untethered boot=tetherfs root=tetherfs: tetherfs.digest=${digest()} ` +
        'tetherfs.members=http://10.0.0.1/os/demo/rootimg.sfs,https://[fe80::1%25eth0]/os/demo/rootimg.sfs\n',
    );
  });

  it('an image method that stands by itself becomes an argument', () => {
    profile('imagemethod: progressive\n');
    expect(cmdline().stdout).toBe(
      `confluent_imagemethod=progressive boot=tetherfs root=tetherfs: tetherfs.digest=${digest()}\n`,
    );
  });

  it('what is no profile is said in one line', () => {
    mkdirSync(at('public'));
    expect(cmdline()).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/is no profile: it has no profile\.yaml/),
    });
    put('public/profile.yaml', 'kernelargs: quiet\n');
    expect(cmdline()).toMatchObject({ status: 2, stderr: expect.stringMatching(/has no rootimg\.sfs with a sidecar/) });
    expect(lstatSync(at('public')).isDirectory()).toBe(true);
  });

  it('members that are none are refused', () => {
    profile('kernelargs: quiet\n');
    expect(cmdline('--member', '10.0.0.1').stderr).toContain('--member 10.0.0.1: not an http:// or https:// URL');
    expect(cmdline('--member', 'http://m/a,b').stderr).toContain('write %2C');
    expect(cmdline('--member', 'http://m/a?token=x').stderr).toMatch(
      /--member http:\/\/m\/a: the URL of a directory has no query/,
    );
    expect(cmdline('--member', 'http://m/a tetherfs.insecure-key-file=/x')).toMatchObject({ status: 2, stdout: '' });
    expect(cmdline('--member', 'http://')).toMatchObject({ status: 2, stdout: '' });
  });

  it('a line that a node would refuse, or a kernel would cut off, is refused', () => {
    profile('kernelargs: quiet tetherfs.zrma=1GiB\n');
    expect(cmdline('--member', 'http://m/a').stderr).toMatch(/tetherfs\.zrma=: no such setting/);
    writeFileSync(at('public/profile.yaml'), 'kernelargs: quiet foo="bar\n');
    expect(cmdline('--member', 'http://m/a').stderr).toMatch(/kernelargs has a " without its end/);
    writeFileSync(at('public/profile.yaml'), 'kernelargs: quiet\n');
    const many = Array.from({ length: 40 }, (_, number) => [
      '--member',
      `http://10.0.0.${number}/confluent-public/os/demo`,
    ]);
    expect(cmdline(...many.flat()).stderr).toMatch(/has \d{4} bytes, and kernels cut it off at 2047/);
  });
});
