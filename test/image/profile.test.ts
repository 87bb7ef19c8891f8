/** What `image pack` makes of a profile beside the image, and what of the tree it does not pack. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { compareVersions } from '../../src/imgutil/tree-kernel.ts';
import { imageMethodOf } from '../../src/profile/index.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';

let directory: TempDir;
const at = (...path: string[]) => join(directory.path, ...path);
const hash = '$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7';

beforeEach(() => {
  directory = makeTempDir('profile');
  put('etc/hostname', 'node\n');
});
afterEach(() => directory.remove());

/** A file of the tree. */
function put(path: string, content: string | Uint8Array, mode = 0o644): void {
  mkdirSync(dirname(at('tree', path)), { recursive: true });
  writeFileSync(at('tree', path), content);
  chmodSync(at('tree', path), mode);
}

function pack(...words: string[]) {
  return spawnSync(tetherfsCommand, ['image', 'pack', '--no-encrypt', ...words, at('tree'), at('public')], {
    encoding: 'utf8',
  });
}

function packed(...words: string[]): { stdout: string; stderr: string } {
  const { status, stdout, stderr } = pack(...words);
  expect({ status, stderr }).toMatchObject({ status: 0 });
  rmSync(at('unpacked'), { recursive: true, force: true });
  execFileSync('unsquashfs', ['-quiet', '-no-progress', '-d', at('unpacked'), at('public/rootimg.sfs')]);
  return { stdout, stderr };
}

const image = (path: string) => readFileSync(at('unpacked', path), 'latin1');
const profile = (path: string) => readFileSync(at('public', path), 'utf8');

/** Everything in the profile, by name; what it holds, and what it points to. */
function everything(): string {
  return execFileSync('sh', ['-c', 'find . -printf "%p %l %m\n" | sort; find . -type f | sort | xargs sha256sum'], {
    cwd: at('public'),
    encoding: 'utf8',
  });
}

/** As a boot loader reads its version: Documentation/arch/x86/boot.rst. */
function kernel(version: string): Buffer {
  const image = Buffer.alloc(0x1000, 0x5a);
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt16LE(0x300, 0x20e);
  image.write(`${version} (builder@host) #1 SMP\0`, 0x500, 'latin1');
  return image;
}

describe('what each machine has of its own', () => {
  const secrets = {
    'etc/ssh/ssh_host_rsa_key': 'hostkey-secret',
    'etc/ssh/ssh_host_ed25519_key.pub': 'ssh-ed25519 AAAAhostpub-secret',
    'etc/machine-id': '0123456789abcdef0123456789abcdef',
    'var/lib/systemd/random-seed': 'seed-secret',
    'etc/security/opasswd': 'user:1000:1:old-secret',
    'etc/confluent/confluent.apikey': 'apikey-secret',
    'root/.ssh/id_ed25519': '-----BEGIN OPENSSH PRIVATE KEY-----\nrootkey-secret',
    'home/one/.ssh/id_rsa': '-----BEGIN RSA PRIVATE KEY-----\nuserkey-secret',
    'etc/krb5.keytab': 'keytab-secret',
  };

  beforeEach(() => {
    for (const [path, text] of Object.entries(secrets)) put(path, `${text}\n`, 0o600);
  });

  test('is blanked and listed; the tree stays as it is', () => {
    put(
      'etc/shadow',
      `root:${hash}:19000:0:99999:7:::\nlocked:!${hash}:1::::::\ndaemon:*:1::::::\nopen::1::::::\n`,
      0o640,
    );
    chownSync(at('tree/etc/shadow'), 0, 42);
    put('etc/gshadow', `wheel:${hash}:root:one\nnone:!::\n`);
    put('etc/passwd', 'root:x:0:0:root:/root:/bin/bash\n');
    put('root/.ssh/id_ed25519.pub', 'ssh-ed25519 AAAApublic root@here\n');
    execFileSync('python3', [
      '-c',
      'import os, sys; os.setxattr(sys.argv[1], "user.mark", b"kept")',
      at('tree/etc/shadow'),
    ]);
    const before = execFileSync('tar', ['-c', '-C', at('tree'), '.']);
    const { stdout } = packed('--report');
    for (const path of Object.keys(secrets)) {
      expect(image(path), path).toBe('');
      expect(stdout).toMatch(new RegExp(`^blanked {2}/${path} \\(.+\\)$`, 'm'));
      expect(statSync(at('unpacked', path)).mode & 0o7777).toBe(0o600);
    }
    expect(image('etc/shadow')).toBe('root:*:19000:0:99999:7:::\nlocked:!:1::::::\ndaemon:*:1::::::\nopen::1::::::\n');
    expect(image('etc/gshadow')).toBe('wheel:*:root:one\nnone:!::\n');
    expect(statSync(at('unpacked/etc/shadow'))).toMatchObject({ gid: 42, mode: 0o100640 });
    expect(Math.floor(statSync(at('unpacked/etc/shadow')).mtimeMs / 1000)).toBe(
      Math.floor(statSync(at('tree/etc/shadow')).mtimeMs / 1000),
    );
    const mark = [
      '-c',
      'import os, sys; print(os.getxattr(sys.argv[1], "user.mark").decode())',
      at('unpacked/etc/shadow'),
    ];
    expect(execFileSync('python3', mark, { encoding: 'utf8' })).toBe('kept\n');
    for (const path of ['etc/passwd', 'etc/hostname', 'root/.ssh/id_ed25519.pub'])
      expect(image(path)).toBe(readFileSync(at('tree', path), 'utf8'));
    expect(execFileSync('tar', ['-c', '-C', at('tree'), '.']).equals(before)).toBe(true);
    // No line anywhere.
    expect(spawnSync('grep', ['-r', 'secret', at('unpacked')], { encoding: 'utf8' })).toMatchObject({
      status: 1,
      stdout: '',
    });
  });

  test('is counted without --report, and packed with --keep', () => {
    const { stdout } = packed('--keep', '/etc/machine-id', '--keep', 'etc//krb5.keytab');
    expect(stdout).toMatch(/^blanked {2}7 files that each machine has of its own/m);
    expect(image('etc/machine-id')).toBe(`${secrets['etc/machine-id']}\n`);
    expect(image('etc/krb5.keytab')).toBe('keytab-secret\n');
    expect(image('root/.ssh/id_ed25519')).toBe('');
  });

  test('is found through links inside the tree, and never outside; a link of its name to something else is none', () => {
    rmSync(at('tree/etc/ssh'), { recursive: true });
    put('usr/etc/ssh/ssh_host_rsa_key', 'hostkey-secret\n');
    symlinkSync('/usr/etc/ssh', at('tree/etc/ssh'));
    put('etc/passwd', `root:${hash}:0:0:root:/root:/bin/bash\n`);
    put('etc/fstab', '-----BEGIN PRIVATE KEY-----\n');
    symlinkSync('/etc/fstab', at('tree/root/.ssh/id_other'));
    symlinkSync('../../../../../../../etc/hostname', at('tree/root/.ssh/id_far'));
    const { stdout } = packed('--report');
    expect(stdout).toContain('blanked  /usr/etc/ssh/ssh_host_rsa_key (ssh host key)\n');
    expect(image('usr/etc/ssh/ssh_host_rsa_key')).toBe('');
    expect(image('etc/passwd')).toBe('root:*:0:0:root:/root:/bin/bash\n');
    expect([image('etc/fstab'), image('etc/hostname')]).toEqual(['-----BEGIN PRIVATE KEY-----\n', 'node\n']);
  });

  test('of networks: each file that holds a secret, in whatever form', () => {
    const secretive = {
      'NetworkManager/system-connections/wifi.nmconnection': '[wifi-security]\r\npsk=/secret\r\n',
      'NetworkManager/system-connections/B\u00fcro.nmconnection': '[vpn-secrets]\nform:main:password=secret\n',
      'netplan/50-wifi.yaml': 'network: {wifis: {w0: {access-points: {"home": {password: secret}}}}}\n',
      'netplan/51-alias.yaml': 'x: &p secret\nnetwork: {wifis: {w0: {access-points: {"home": {password: *p}}}}}\n',
      'netplan/52-tunnel.yaml': 'network: {tunnels: {wg0: {mode: wireguard, key: /secret=}}}\n',
      'netplan/53-broken.yaml': 'network: {password: secret\n',
      'wpa_supplicant/wpa_supplicant.conf': 'network={\n\tssid="x"\n\t#psk="secret"\n}\n',
      'wireguard/wg0.conf': '[Interface]\nPrivateKey = /secret=\n',
      'systemd/network/wg0.netdev': '[WireGuard]\nPresharedKey=secret\n',
      'ppp/chap-secrets': '# Secrets for authentication\nclient * secret *\n',
    };
    const wired = {
      'NetworkManager/system-connections/wired.nmconnection':
        '[connection]\nid=wired\ntype=ethernet\n[ipv4]\nmethod=auto\n[ipv6]\nip6-privacy=0\n',
      'netplan/60-wired.yaml': 'network: {ethernets: {eth0: {dhcp4: true, mtu: 0640}}} # as it is\n',
    };
    for (const [path, text] of Object.entries({ ...secretive, ...wired })) put(`etc/${path}`, text, 0o600);
    packed();
    for (const path of Object.keys(secretive)) expect(image(`etc/${path}`), path).toBe('');
    for (const [path, text] of Object.entries(wired)) expect(image(`etc/${path}`), path).toBe(text);
  });

  test('of other places: copies of hashes, keys of any name; what must not even be empty is left out', () => {
    const found = {
      'var/backups/shadow.bak': `root:${hash}:1::::::\n`,
      'etc/shadow.rpmsave': `root:${hash}:1::::::\n`,
      'root/anaconda-ks.cfg': `rootpw --iscrypted ${hash}\n`,
      'etc/ssh/ssh_host_rsa_key.bak': 'secret',
      'root/.ssh/deploy': '-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n',
      'root/.ssh/id_two': 'ssh-ed25519 AAAA\n-----BEGIN PRIVATE KEY-----\nsecret\n',
      'root/.ssh/keys/id_three': '-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n',
      'etc/dropbear/dropbear_rsa_host_key': 'secret',
      'etc/dropbear/initramfs/dropbear_ed25519_host_key': 'secret',
      'usr/lib/netplan/50-wifi.yaml': 'network: {wifis: {w0: {access-points: {"home": {password: secret}}}}}\n',
      'usr/lib/NetworkManager/system-connections/wifi.nmconnection': '[wifi-security]\npsk=secret\n',
      'root/.gnupg/private-keys-v1.d/0123.key': 'secret',
      'home/one/.netrc': 'machine x login y password secret\n',
      'root/.kube/config': 'client-key-data: secret\n',
      'root/.npmrc': '//registry/:_authToken=secret\n',
    };
    const kept = {
      'root/.ssh/authorized_keys': 'ssh-ed25519 AAAA root@here\n',
      'root/.ssh/config': 'Host *\n',
      'home/one/.npmrc': 'fund=false\n',
      'etc/munge/munge.key': 'shared',
    };
    for (const [path, text] of Object.entries({ ...found, ...kept })) put(path, text, 0o600);
    put('var/lib/systemd/credential.secret', 'credential-secret');
    const { stdout } = packed('--report');
    for (const path of Object.keys(found)) expect(image(path), path).not.toMatch(/secret|\$y\$/);
    for (const [path, text] of Object.entries(kept)) expect(image(path), path).toBe(text);
    expect(existsSync(at('unpacked/var/lib/systemd/credential.secret'))).toBe(false);
    expect(stdout).toContain('left out /var/lib/systemd/credential.secret (key of systemd credentials)\n');
  });

  test('is not packed by another name, nor when it is replaced meanwhile', () => {
    linkSync(at('tree/etc/krb5.keytab'), at('tree/etc/keytab.copy'));
    expect(pack()).toMatchObject({
      status: 1,
      stderr:
        'tetherfs: /etc/krb5.keytab (Kerberos keys) has another name in the tree, by which it would be packed: remove that, or say --keep /etc/krb5.keytab\n',
    });
    rmSync(at('tree/etc/keytab.copy'));
    // As passwd(1) does it, in a chroot of the tree.
    put('etc/shadow', `root:${hash}:1::::::\n`);
    const real = execFileSync('sh', ['-c', 'command -v mksquashfs'], { encoding: 'utf8' }).trim();
    mkdirSync(at('bin'));
    writeFileSync(at('replacement'), `root:${hash}:2::::::\n`);
    // From outside the mounts in which it runs.
    const replace = `nsenter --mount --target $PPID mv ${at('replacement')} ${at('tree/etc/shadow')}`;
    writeFileSync(at('bin/mksquashfs'), `#!/bin/sh\n${replace}\nexec ${real} "$@"\n`, { mode: 0o755 });
    const env = { ...process.env, PATH: `${at('bin')}:${process.env['PATH']}` };
    const words = ['image', 'pack', '--no-encrypt', at('tree'), at('public')];
    expect(spawnSync(tetherfsCommand, words, { encoding: 'utf8', env })).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^tetherfs: the tree changed while it was packed, .*: pack again\n$/),
    });
    expect(existsSync(at('public'))).toBe(false);
  });

  test('is blanked beside what is left out because it is mounted, and what is mounted is kept if wanted', () => {
    mkdirSync(at('tree/srv'));
    execFileSync('mount', ['-t', 'tmpfs', 'none', at('tree/srv')]);
    try {
      writeFileSync(at('tree/srv/data'), 'data\n');
      packed();
      expect([existsSync(at('unpacked/srv/data')), image('etc/machine-id')]).toEqual([false, '']);
      packed('--include-mounts');
      expect([image('srv/data'), image('etc/machine-id')]).toEqual(['data\n', '']);
    } finally {
      execFileSync('umount', [at('tree/srv')]);
    }
  });

  test('is not hidden by what is mounted over it', () => {
    execFileSync('mount', ['-t', 'tmpfs', 'none', at('tree/root')]);
    try {
      expect(pack()).toMatchObject({
        status: 1,
        stderr: `tetherfs: something is mounted at ${at('tree/root')}: what lies below it would be packed, and may be secret: unmount it, or say --include-mounts\n`,
      });
    } finally {
      execFileSync('umount', [at('tree/root')]);
    }
  });

  test('--keep of what is not there is refused', () => {
    expect(pack('--keep', '/etc/shaddow')).toMatchObject({
      status: 2,
      stderr: 'tetherfs: --keep /etc/shaddow: there is no such file in the tree\n',
    });
  });

  test('needs root', () => {
    execFileSync('chmod', ['-R', 'a+rwX', at('tree')]);
    chmodSync(directory.path, 0o777);
    // Whoever that is may not look into our own directories.
    const [checkout, place] = ['/run/checkout', '/run/place'];
    for (const [path, shown] of [
      [dirname(dirname(tetherfsCommand)), checkout],
      [directory.path, place],
    ] as const) {
      mkdirSync(shown);
      execFileSync('mount', ['--bind', path, shown]);
    }
    const words = ['--reuid', '65534', '--clear-groups', `${checkout}/bin/tetherfs`, 'image', 'pack', '--no-encrypt'];
    const outcome = spawnSync('setpriv', [...words, `${place}/tree`, `${place}/public`], { encoding: 'utf8' });
    for (const shown of [checkout, place]) execFileSync('umount', [shown]);
    expect(outcome).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /^tetherfs: only root can blank what each machine has of its own, .*\/etc\/machine-id \(machine id\), .*: empty them, or say --keep for each\n$/,
      ),
    });
    expect(existsSync(at('public'))).toBe(false);
  });
});

describe('kernel and initramfs', () => {
  test('are the newest of the tree', () => {
    for (const version of ['6.1.0-9-amd64', '6.1.0-10-amd64']) {
      put(`boot/vmlinuz-${version}`, kernel(version));
      put(`boot/initrd.img-${version}`, `initramfs of ${version}`, 0o600);
    }
    put('boot/vmlinuz-0-rescue-0123', kernel('9.9.9'));
    put('boot/vmlinuz-6.1.0-10-amd64.old', 'from before');
    put('boot/vmlinuz-6.1.0-11-amd64', kernel('6.1.0-11-amd64')); // has none
    const { stdout } = packed();
    expect(stdout).toContain('kernel   6.1.0-10-amd64 and its initramfs, in boot/\n');
    expect(readFileSync(at('public/boot/kernel')).equals(kernel('6.1.0-10-amd64'))).toBe(true);
    expect(profile('boot/initramfs/distribution')).toBe('initramfs of 6.1.0-10-amd64');
    for (const name of ['boot/kernel', 'boot/initramfs/distribution'])
      expect(statSync(at('public', name)).mode & 0o7777).toBe(0o644);
    expect(profile('build-info')).toMatch(/^KERNEL=6\.1\.0-10-amd64$/m);
    expect(packed('--kernel', '6.1.0-9-amd64').stdout).toContain(
      'kernel   6.1.0-9-amd64 and its initramfs, in boot/\n',
    );
    expect(readFileSync(at('public/boot/kernel')).equals(kernel('6.1.0-9-amd64'))).toBe(true);
    expect(pack('--kernel', '6.2')).toMatchObject({
      status: 2,
      stderr:
        'tetherfs: --kernel 6.2: the tree has no such kernel, but 6.1.0-10-amd64, 6.1.0-11-amd64, 6.1.0-9-amd64\n',
    });
  });

  // The name may be any; dracut's of Red Hat goes by the version.
  test('one that no node boots by is told: of a tree that was not prepared, or after it was made', () => {
    put('boot/vmlinuz-1', kernel('1'));
    put('boot/initrd.img-1', 'initramfs');
    expect(packed().stdout).toMatch(
      /^note {5}this initramfs is not made for tetherfs .*: tetherfs image prepare, then/m,
    );
    put('usr/lib/tetherfs/runtime.sfs', 'runtime');
    utimesSync(at('tree/boot/initrd.img-1'), 1, 1);
    expect(packed().stdout).toMatch(/^note {5}this initramfs is older than what tetherfs image prepare has put/m);
    put('boot/initrd.img-1', 'made anew');
    expect(packed().stdout).not.toMatch(/this initramfs/);
  });

  test('go by the version that the kernel says, also where a link leads to it', () => {
    put('usr/lib/modules/5.14.0-503.el9/vmlinuz', kernel('5.14.0-503.el9'));
    mkdirSync(at('tree/boot'));
    symlinkSync('/usr/lib/modules/5.14.0-503.el9/vmlinuz', at('tree/boot/vmlinuz-current'));
    put('boot/initramfs-5.14.0-503.el9.img', 'by dracut');
    packed();
    expect(readFileSync(at('public/boot/kernel')).equals(kernel('5.14.0-503.el9'))).toBe(true);
    expect(profile('boot/initramfs/distribution')).toBe('by dracut');
  });

  test('without an initramfs, and without a kernel: it is said, and what lay there stays', () => {
    put('boot/vmlinuz-1', kernel('1'));
    put('boot/initrd.img-1', 'initramfs');
    packed();
    rmSync(at('tree/boot/initrd.img-1'));
    put('boot/vmlinuz-2', kernel('2'));
    expect(packed().stdout).toContain(
      'kernel   none: the tree has no initramfs for its 2, so nodes cannot boot from this profile: let its update-initramfs or dracut make one\n',
    );
    rmSync(at('tree/boot'), { recursive: true });
    expect(packed().stdout).toContain('kernel   none: the tree has no kernel in /boot, so ');
    expect(readFileSync(at('public/boot/kernel')).equals(kernel('1'))).toBe(true);
    expect(profile('boot/initramfs/distribution')).toBe('initramfs');
    expect(profile('build-info')).toMatch(/^KERNEL=1$/m);
  });

  test('do not go where a link of the profile leads', () => {
    mkdirSync(at('public'));
    mkdirSync(at('other'));
    symlinkSync(at('other'), at('public/boot'));
    expect(pack()).toMatchObject({
      status: 2,
      stderr: `tetherfs: ${at('public/boot')} is ${at('other')} by a link: make it a directory of its own, or remove it\n`,
    });
  });

  test('bootloaders come along by the names that firmware asks for', () => {
    put('boot/vmlinuz-1', kernel('1'));
    put('boot/initrd.img-1', 'initramfs');
    put('usr/lib/shim/shimx64.efi.signed', 'shim');
    put('boot/efi/EFI/rocky/grubx64.efi', 'grub');
    expect(packed().stdout).toContain('kernel   1 and its initramfs, 3 files of bootloaders, in boot/\n');
    expect(readdirSync(at('public/boot/efi/boot')).sort()).toEqual(['BOOTX64.EFI', 'grub.efi', 'grubx64.efi']);
    expect([profile('boot/efi/boot/BOOTX64.EFI'), profile('boot/efi/boot/grub.efi')]).toEqual(['shim', 'grub']);
  });

  test.each([
    ['6.1.0-9-amd64', '6.1.0-10-amd64'],
    ['6.1.0-49-amd64', '6.12.9+bpo-amd64'],
    ['6.12-rc7', '6.12'],
    ['6.12~rc7-amd64', '6.12-amd64'],
    ['5.14.0-427.el9.x86_64', '5.14.0-503.11.1.el9_5.x86_64'],
    ['6.4.0-150600.21-default', '6.4.0-150600.23.7-default'],
    ['6.1', '6.1.1'],
    ['4.18.0-348.el8.x86_64', '4.18.0-348.7.1.el8_5.x86_64'],
    ['3.10.0-1160.el7.x86_64', '3.10.0-1160.118.1.el7.x86_64'],
  ])('%s is older than %s', (older, newer) => {
    expect([compareVersions(older, newer), compareVersions(newer, older), compareVersions(older, older)]).toEqual([
      -1, 1, 0,
    ]);
  });
});

describe('profile.yaml and manifest.yaml', () => {
  test('are made, and profile.yaml is the administrator’s from then on', () => {
    put('usr/lib/os-release', 'NAME=x\nPRETTY_NAME="A \\"system\\": # 1"\n');
    symlinkSync('../usr/lib/os-release', at('tree/etc/os-release'));
    packed();
    expect(parse(profile('profile.yaml'))).toEqual({ label: 'A "system": # 1 (Diskless Boot)', kernelargs: 'quiet' });
    expect(imageMethodOf(profile('profile.yaml'))).toBeUndefined();
    expect(parse(profile('manifest.yaml'))).toEqual({ distdir: at('public'), disthashes: {} });
    writeFileSync(at('public/profile.yaml'), 'label: mine\nkernelargs: quiet confluent_imagemethod=untethered\n');
    put('boot/vmlinuz-1', kernel('1'));
    put('boot/initrd.img-1', 'initramfs');
    packed();
    expect(profile('profile.yaml')).toContain('label: mine\n');
    const sum = execFileSync('sha512sum', [at('public/boot/kernel')], { encoding: 'utf8' }).split(' ')[0];
    expect(parse(profile('manifest.yaml')).disthashes).toMatchObject({ 'boot/kernel': sum });
  });

  test('a manifest of confluent’s own stays', () => {
    mkdirSync(at('public'));
    const theirs = 'distdir: /opt/confluent/lib/osdeploy/el9-diskless/profiles/default\ndisthashes: {}\n';
    writeFileSync(at('public/manifest.yaml'), theirs);
    packed();
    expect(profile('manifest.yaml')).toBe(theirs);
  });
});

describe('with --base-profile', () => {
  const base = () => at('confluent/public/os/base');
  function lay(path: string, content: string, mode = 0o644): void {
    mkdirSync(dirname(join(base(), path)), { recursive: true });
    writeFileSync(join(base(), path), content);
    chmodSync(join(base(), path), mode);
  }

  beforeEach(() => {
    lay('profile.yaml', 'label: of the base\nkernelargs: quiet mine\n');
    lay('scripts/onboot.d/10-mine.sh', '#!/bin/sh\n', 0o755);
    lay('ansible/onboot.d/play.yaml', '[]\n');
    for (const name of ['rootimg.sfs', 'rootimg-00.sfs', 'rootimg.sfs.fsverity', 'manifest.yaml']) lay(name, 'its own');
    for (const name of ['boot/kernel', 'boot/initramfs/distribution']) lay(name, 'its own');
    lay('build-info', 'PACKEDFROM=elsewhere\n');
    lay('.hidden.new-1-ab', 'half');
    symlinkSync('/var/lib/confluent/public/site/initramfs.cpio', join(base(), 'boot/initramfs/site.cpio'));
    put('boot/vmlinuz-1', kernel('1'));
    put('boot/initrd.img-1', 'initramfs');
  });

  test('it has all from there that it lacks, and of its own what the image is', () => {
    mkdirSync(at('public/ansible/onboot.d'), { recursive: true });
    writeFileSync(at('public/ansible/onboot.d/play.yaml'), 'mine');
    packed('--base-profile', base());
    expect(profile('profile.yaml')).toBe('label: of the base\nkernelargs: quiet mine\n');
    expect(profile('ansible/onboot.d/play.yaml')).toBe('mine');
    expect(statSync(at('public/scripts/onboot.d/10-mine.sh')).mode & 0o777).toBe(0o755);
    expect(profile('boot/initramfs/distribution')).toBe('initramfs');
    expect(parse(profile('manifest.yaml')).distdir).toBe(at('public'));
    expect(profile('build-info')).toMatch(new RegExp(`^BASEPROFILE=${base()}$`, 'm'));
    expect(profile('build-info')).not.toContain('elsewhere');
    expect(readdirSync(at('public'))).not.toContain('.hidden.new-1-ab');
    expect(readdirSync(at('public')).filter((name) => name === 'rootimg-00.sfs')).toEqual([]);
    expect(readlinkSync(at('public/boot/initramfs/site.cpio'))).toMatch(/site\/initramfs.cpio$/);
  });

  test.each([
    ['nowhere', /--base-profile nowhere: .*public\/os\/nowhere: no such file/],
    ['/etc/passwd', /--base-profile \/etc\/passwd: \/etc\/passwd is no directory/],
  ])('%s is refused', (name, why) => {
    expect(pack('--base-profile', name)).toMatchObject({ status: 2, stderr: expect.stringMatching(why) });
    expect(existsSync(at('public'))).toBe(false);
  });
});

test('a pack that fails leaves the old profile whole, and nothing behind', () => {
  put('boot/vmlinuz-1', kernel('1'));
  put('boot/initrd.img-1', 'initramfs');
  packed();
  const before = everything();
  put('boot/vmlinuz-2', kernel('2'));
  put('boot/initrd.img-2', 'another');
  // Something lies where a file of the profile is to be.
  rmSync(at('public/build-info'));
  mkdirSync(at('public/build-info'));
  expect(pack().status).toBe(1);
  rmSync(at('public/build-info'), { recursive: true });
  const changed = everything();
  const lines = (text: string) => text.split('\n').filter((line) => !/build-info|^\. /.test(line));
  expect(lines(changed)).toEqual(lines(before));
});
