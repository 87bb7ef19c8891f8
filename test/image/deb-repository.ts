/**
 * A repository of real .deb packages, as small as a distribution can be: a userland with dpkg (this machine's), an apt that is none, a kernel that is none, and an initramfs-tools that writes what it was
 * called for.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { withLibraries } from './own-programs.ts';
import { packagers } from './packagers.ts';

export const kernelVersion = '6.8.0-demo';
const codename = 'noble';
const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';

export interface DebRepository {
  /** Has dists/noble. */
  readonly directory: string;
  /** Of whom has signed it. */
  readonly key: string;
  /** Of somebody else. */
  readonly otherKey: string;
}

interface Package {
  readonly name: string;
  readonly control?: readonly string[];
  /** Its content, by path; copied from this machine where it is undefined. */
  readonly files: Readonly<Record<string, string | undefined>>;
  readonly postinst?: string;
}

const programs = [
  ...[
    'sh',
    'dpkg',
    'dpkg-deb',
    'dpkg-query',
    'dpkg-split',
    'dpkg-divert',
    'tar',
    'rm',
    'cat',
    'touch',
    'mkdir',
    'ls',
    'env',
  ],
  ...['diff', 'start-stop-daemon', 'ldconfig', 'sleep'],
];
const script = '#!/bin/sh\n';

const packages: readonly Package[] = [
  {
    name: 'userland',
    control: ['Essential: yes', 'Priority: required'],
    files: {
      '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
      '/etc/group': 'root:x:0:\n',
      '/etc/os-release': 'ID=ubuntu\nVERSION_ID=24.04\nPRETTY_NAME="Ubuntu 24.04 as a test has it"\n',
      '/mnt/.keep': '',
      '/var/lib/dpkg/info/format': '1\n',
      ...Object.fromEntries(programs.flatMap(withLibraries).map((path) => [path, undefined])),
    },
  },
  { name: 'apt', control: ['Priority: required'], files: { '/etc/apt/apt.conf.d/demo': '' } },
  {
    name: 'initramfs-tools',
    files: {
      '/usr/sbin/mkinitramfs': script,
      '/usr/sbin/update-initramfs': `${script}echo "$@" >/boot/initrd.img-${kernelVersion}\n`,
    },
  },
  {
    name: 'linux-image-generic',
    control: ['Depends: initramfs-tools'],
    files: { [`/boot/vmlinuz-${kernelVersion}`]: 'a kernel' },
    postinst: '[ "$INITRD" = No ] || update-initramfs of the package\n',
  },
  {
    name: 'looks',
    files: { '/usr/share/looks': '' },
    postinst:
      'ls -d /dev/null /proc/self/fd >/etc/seen\ncat /mnt/shown /opt/a/b/list >>/etc/seen; touch /mnt/shown 2>>/etc/seen || :\n',
  },
  { name: 'fails', files: { '/usr/share/fails': '' }, postinst: 'exit 7\n' },
  { name: 'needs', control: ['Depends: nobody-has-this'], files: { '/usr/share/needs': '' } },
];

/** @param directory an empty one. */
export function makeDebRepository(directory: string): DebRepository {
  const at = (...path: string[]) => join(directory, ...path);
  const repository = at('repository');
  const index = join('main', `binary-${architecture}`, 'Packages');
  const pool = packages.map((one) => makePackage(one, at('packages'), repository));
  put(join(repository, 'dists', codename, index), pool.join('\n'));
  using signers = packagers();
  const release = join(repository, 'dists', codename, 'Release');
  const text = readFileSync(join(repository, 'dists', codename, index));
  const fields = [
    ...['Origin: Test', `Suite: ${codename}`, `Codename: ${codename}`, `Date: ${new Date().toUTCString()}`],
    ...[`Architectures: ${architecture}`, 'Components: main', 'SHA256:'],
    ` ${sha256(text)} ${text.length} ${index}`,
  ];
  put(release, `${fields.join('\n')}\n`);
  signers.gpg('--local-user', 'packager', '--clearsign', '--output', join(dirname(release), 'InRelease'), release);
  return {
    directory: repository,
    key: signers.exportKey('packager', at('key.asc')),
    otherKey: signers.exportKey('somebody', at('other.asc')),
  };
}

/** @returns its entry in the index. */
function makePackage({ name, control = [], files, postinst }: Package, work: string, repository: string): string {
  const root = join(work, name);
  for (const [path, content] of Object.entries(files)) {
    const mode = content?.startsWith('#!') ? 0o755 : 0o644;
    if (content !== undefined) put(join(root, path), content, mode);
    else {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      copyFileSync(path, join(root, path));
    }
  }
  if (name === 'userland') {
    for (const directory of ['dev', 'proc', 'run', 'sys', 'tmp']) mkdirSync(join(root, directory));
    for (const link of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${link}`, join(root, link));
  }
  const fields = [
    ...[`Package: ${name}`, 'Version: 1', `Architecture: ${architecture}`, 'Maintainer: Test <test@example.org>'],
    ...control,
    'Description: of the test',
  ];
  put(join(root, 'DEBIAN/control'), `${fields.join('\n')}\n`);
  if (postinst !== undefined) put(join(root, 'DEBIAN/postinst'), `${script}set -e\n${postinst}`, 0o755);
  const file = join('pool', `${name}_1_${architecture}.deb`);
  mkdirSync(join(repository, 'pool'), { recursive: true });
  execFileSync('dpkg-deb', ['--build', '--root-owner-group', '-Zgzip', '-z1', root, join(repository, file)], {
    stdio: 'pipe',
  });
  const whole = readFileSync(join(repository, file));
  return [
    ...fields,
    `Filename: ${file}`,
    `Size: ${statSync(join(repository, file)).size}`,
    `SHA256: ${sha256(whole)}`,
    '',
  ].join('\n');
}

function put(path: string, content: string, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content, { mode });
}

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
