/** A machine with disks that runs: a root of its own on a loop device with a real file system, others mounted in it, and a real sshd; in namespaces that end with it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ServerProgram } from '../support/server-program.ts';
import { answersSsh } from '../support/sshd.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { withLibraries } from './own-programs.ts';

/** In each file of it that no other machine may have. */
export const secret = 'TOP-SECRET-8f3a';
export const machineKernel = '6.9.9-demo';

export interface MachineOptions {
  address: string;
  /** ext4: with /home and /boot of their own. btrfs: subvolumes for / and /home, and one that lies in /. */
  disk: 'ext4' | 'btrfs';
}

const programs = [
  ...[
    'sh',
    'cat',
    'chroot',
    'cp',
    'cut',
    'expr',
    'find',
    'fsfreeze',
    'grep',
    'head',
    'id',
    'kill',
    'ls',
    'mkdir',
    'mount',
  ],
  ...[
    'mv',
    'realpath',
    'rm',
    'sed',
    'sha256sum',
    'sleep',
    'sort',
    'stat',
    'sync',
    'tar',
    'timeout',
    'touch',
    'umount',
    'uname',
  ],
  ...['unshare', 'btrfs', 'ln', 'ps', 'wc', 'sshd'],
];

/** Waits in front of what is to be read while /run/hold names it; says so by /run/held. */
const holdingTar = `#!/bin/sh
for word; do
  while [ "$(cat /run/hold 2>/dev/null)" = "$word" ]; do : >/run/held; sleep 0.05; done
done
exec /usr/bin/tar "$@"
`;

const hash = `$6$${secret}$0123456789012345678901234567890123456789`;
const privateKey = `-----BEGIN OPENSSH PRIVATE KEY-----\n${secret}\n-----END OPENSSH PRIVATE KEY-----\n`;

/** All that holds the secret. */
const secrets: Readonly<Record<string, string>> = {
  '/etc/shadow': `root:${hash}:19000:0:99999:7:::\nlocked:!${hash}:19000::::::\nsshd:*:19000::::::\n`,
  '/etc/gshadow-': `users:${hash}::\n`,
  '/etc/machine-id': `${'0123456789abcdef'.repeat(2)}\n`,
  // Seen at /etc/munge, too, and by a link in /var/lib.
  '/srv/munge/munge.key': secret,
  '/srv/sss/db/cache_x.ldb': secret,
  '/etc/netplan/50-wifi.yaml': `network: {wifis: {w: {access-points: {x: {password: ${secret}}}}}}\n`,
  '/etc/NetworkManager/system-connections/lan.nmconnection': `[ipv4]\naddress1=10.0.0.7/24\n# ${secret}\n`,
  '/etc/sssd/sssd.conf': `[domain/x]\nldap_default_authtok = ${secret}\n`,
  '/etc/nginx/tls/site.key': privateKey,
  '/etc/krb5.keytab': secret,
  '/etc/crypttab': `swap /dev/sda3 ${secret}\n`,
  '/root/.bash_history': `mysql -p${secret}\n`,
  '/root/.ssh/id_ed25519': privateKey,
  '/home/ann/.ssh/keys/old': privateKey,
  '/home/ann/.netrc': `machine x password ${secret}\n`,
  '/home/ann/.ssh/id_rsa ': privateKey,
  '/home/DOM\\ain [x]*/.netrc': `machine x password ${secret}\n`,
  '/var/lib/NetworkManager/secret_key': secret,
  '/var/log/journal/0123/system.journal': secret,
  '/var/lib/confluent/private/os/x/pending/rootimg.key': secret,
  '/tmp/junk': secret,
  '/var/tmp/junk': secret,
};

const harmless: Readonly<Record<string, string>> = {
  '/etc/os-release': 'ID=demo\nPRETTY_NAME="Demo 9"\n',
  '/etc/hostname': 'old\n',
  '/etc/fstab':
    '# disks\nUUID=1-2 / ext4 defaults 0 1\n/dev/sda2\t/home ext4 defaults 0 2\nserver:/x /x nfs ro 0 0\n/dev/sda3 none swap sw 0 0\n',
  '/etc/selinux/config': 'SELINUX=enforcing\n',
  '/etc/netplan/01-lan.yaml': 'network: {ethernets: {e: {addresses: [10.0.0.7/24]}}}\n',
  '/etc/ssl/private/note': 'no key is here\n',
  '/etc/sudoers': 'root ALL=(ALL) ALL\n',
  '/root/.ssh/known_hosts': 'x ssh-ed25519 AAAA\n',
  '/root/.bashrc': '# nothing\n',
  '/home/ann/notes.txt': 'notes\n',
  '/home/ann/.ssh/config': 'Host x\n',
  '/srv/data': 'd'.repeat(100_000),
  [`/boot/vmlinuz-${machineKernel}`]: 'kernel',
  '/usr/bin/dracut': `#!/bin/sh\necho "$@" > /boot/initramfs-${machineKernel}.img\n`,
};

export class RunningMachine implements AsyncDisposable {
  readonly address: string;
  readonly #directory: TempDir;
  readonly #sshd: ServerProgram;

  static async start({ address, disk }: MachineOptions): Promise<RunningMachine> {
    const directory = makeTempDir('machine');
    try {
      const at = (name: string) => join(directory.path, name);
      for (const name of ['host', 'key'])
        execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', secret, '-f', at(name)]);
      makeContent(at('content'), at('host'), at('key.pub'));
      writeFileSync(at('start'), startScript);
      mkdirSync(at('root'));
      const sshd = await ServerProgram.start({
        command: ['unshare', '--mount', '--propagation', 'private', 'sh', at('start'), directory.path, disk, address],
        config: () => '',
        ready: () => answersSsh(address),
      });
      const known = execFileSync('ssh-keyscan', ['-T', '5', address], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      writeFileSync(at('known'), known);
      writeFileSync(
        at('ssh_config'),
        `Host *\n  User root\n  IdentityFile ${at('key')}\n  UserKnownHostsFile ${at('known')}\n  BatchMode yes\n`,
      );
      return new RunningMachine(address, directory, sshd);
    } catch (error) {
      directory.remove();
      throw error;
    }
  }

  private constructor(address: string, directory: TempDir, sshd: ServerProgram) {
    this.address = address;
    this.#directory = directory;
    this.#sshd = sshd;
  }

  get sshConfig(): string {
    return join(this.#directory.path, 'ssh_config');
  }

  /** Whatever reads from the place that tar calls so waits, until it is let go. */
  hold(place: string): void {
    this.run(`rm -f /run/held; echo ${place} >/run/hold`);
  }

  isHeld(): boolean {
    return this.run('[ ! -e /run/held ] || echo held') !== '';
  }

  letGo(): void {
    this.run('rm -f /run/hold /run/held');
  }

  /** Asks the kernel for it: what is frozen cannot be frozen. */
  isFrozen(place: string): boolean {
    return this.run(`if fsfreeze -f ${place} 2>/dev/null; then fsfreeze -u ${place}; else echo frozen; fi`) !== '';
  }

  /** What a shell there prints. @throws Error when it fails */
  run(script: string): string {
    const { status, stdout, stderr } = spawnSync('ssh', ['-F', this.sshConfig, this.address, script], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${script}: status ${status}: ${stderr}`);
    return stdout;
  }

  /** A frozen file system would stay behind without a place where it could be thawed. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.run('rm -f /run/hold; ! fsfreeze -u /home 2>/dev/null || echo thawed');
    } finally {
      await this.#sshd[Symbol.asyncDispose]();
      this.#directory.remove();
    }
  }
}

function makeContent(root: string, hostKey: string, authorized: string): void {
  const put = (path: string, text: string, mode = 0o644) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text, { mode });
  };
  for (const name of [
    'dev',
    'proc',
    'sys',
    'run',
    'tmp',
    'mnt',
    'media',
    'usr/bin',
    'var/log',
    'home',
    'boot',
    'x',
    'etc/munge',
    'var/lib',
    'home/ann/.gnupg',
  ])
    mkdirSync(join(root, name), { recursive: true });
  for (const [link, to] of [
    ['bin', 'usr/bin'],
    ['sbin', 'usr/sbin'],
    ['lib', 'usr/lib'],
    ['lib64', 'usr/lib64'],
    ['var/lib/sss', '/srv/sss'],
    ['home/ann/.gnupg/private-keys-v1.d', '/usr/local/bin'],
  ] as const)
    symlinkSync(to, join(root, link));
  for (const path of new Set(programs.flatMap(withLibraries)))
    cpSync(path, join(root, path), { recursive: true, dereference: true });
  put('/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n');
  put('/etc/group', 'root:x:0:\n');
  for (const [path, text] of Object.entries(secrets)) put(path, text, 0o600);
  for (const [path, text] of Object.entries(harmless)) put(path, text, /\/(usr\/)?bin\//.test(path) ? 0o755 : 0o644);
  put('/usr/local/bin/tar', holdingTar, 0o755);
  cpSync(hostKey, join(root, 'etc/ssh/ssh_host_ed25519_key'), { recursive: true });
  cpSync(authorized, join(root, 'root/.ssh/authorized_keys'));
}

/** DIRECTORY DISK ADDRESS */
const startScript = `set -e
cd "$1"
PATH=/usr/sbin:/sbin:$PATH
root=$1/root
disk() {
  truncate -s "$2" "$1"
  mkfs.ext4 -qF "$1"
  mkdir -p "$root$3"
  mount -o loop "$1" "$root$3"
}
case $2 in
  ext4)
    disk root.img 256M /
    disk home.img 16M /home
    disk boot.img 16M /boot ;;
  btrfs)
    truncate -s 512M root.img
    mkfs.btrfs -q root.img
    mkdir top
    mount -o loop root.img top
    btrfs subvolume create top/@ >/dev/null
    btrfs subvolume create top/@home >/dev/null
    device=$(findmnt -n -o SOURCE top)
    mount -o subvol=@ "$device" root
    mkdir root/home
    mount -o subvol=@home "$device" root/home
    umount top
    mkdir -p root/var/lib
    btrfs subvolume create root/var/lib/machines >/dev/null
    mkdir -p root/var/lib/machines/inner
    btrfs subvolume create root/var/lib/machines/inner/most >/dev/null
    echo nested >root/var/lib/machines/inner/most/file
    touch -d @1000000000 root/var/lib/machines/inner/most/file ;;
esac
cp -a content/. root/
chmod 1777 root/tmp root/var/tmp
chown 1000:1000 root/home/ann/notes.txt
chmod 4755 root/usr/bin/id
ln root/srv/data root/srv/same
truncate -s 8M root/srv/sparse
echo island >>root/srv/sparse
python3 -c 'import os
os.setxattr("root/etc/hostname", "user.mark", b"kept")
os.setxattr("root/etc/sudoers", "security.selinux", b"system_u:object_r:etc_t:s0")'
setcap cap_net_raw=ep root/usr/bin/sleep
touch -d @1234567890 root/srv root/etc/hostname
mknod root/srv/device c 1 3
mkfifo root/srv/pipe
mount --bind root/srv/munge root/etc/munge
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs tmpfs root/run
mkdir root/run/sshd root/run/mount
exec chroot root /usr/sbin/sshd -D -e -f /dev/null -o "ListenAddress=$3:22" -o StrictModes=no -o UsePAM=no -o PidFile=none \\
  -o PermitRootLogin=prohibit-password -o HostKey=/etc/ssh/ssh_host_ed25519_key
`;
