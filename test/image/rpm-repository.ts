/**
 * A repository of real .rpm packages, as small as a distribution can be: directories, a shell with the libraries that it needs (this machine's), a kernel that is none, and a dracut that writes what it
 * was called for.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withLibraries } from './own-programs.ts';
import { packagers } from './packagers.ts';

export const kernelVersion = '6.9.9-demo';

/** Name, what is in %files, and further lines of its part of the spec. */
interface Package {
  readonly name: string;
  readonly files: readonly string[];
  readonly requires?: string;
  /** Scriptlets and other sections. */
  readonly more?: string;
}

export interface RpmRepository {
  /** Has repodata. */
  readonly directory: string;
  /** Of whom has signed all packages but `unsigned`. */
  readonly key: string;
  /** Of somebody else. */
  readonly otherKey: string;
}

const programs = ['sh', 'touch', 'cat', 'mkdir', 'ls', 'sleep', 'cp'];

/** @param directory an empty one. */
export function makeRpmRepository(directory: string): RpmRepository {
  const at = (...path: string[]) => join(directory, ...path);
  const repository = at('repository');
  for (const name of ['home', 'root', 'repository']) mkdirSync(at(name));
  const environment = { ...process.env, HOME: at('home') };
  using signers = packagers();
  const packages = contents(at('root'));
  writeFileSync(at('demo.spec'), spec(packages));
  execFileSync(
    'rpmbuild',
    [
      '-bb',
      '--quiet',
      '--define',
      `_topdir ${at('work')}`,
      '--define',
      `_rpmdir ${repository}`,
      '--define',
      `demo_root ${at('root')}`,
      at('demo.spec'),
    ],
    { env: environment, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const files = execFileSync('find', [repository, '-name', '*.rpm'], { encoding: 'utf8' }).trim().split('\n');
  execFileSync(
    'rpmsign',
    [
      ...[
        '--addsign',
        '--define',
        `_gpg_path ${signers.keys}`,
        '--define',
        '_gpg_name packager',
        '--define',
        '__gpg /usr/bin/gpg',
      ],
      ...files.filter((file) => !file.includes('/unsigned-')),
    ],
    { env: environment, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  execFileSync('createrepo_c', ['--quiet', repository]);
  return {
    directory: repository,
    key: signers.exportKey('packager', at('key.asc')),
    otherKey: signers.exportKey('somebody', at('other.asc')),
  };
}

function contents(root: string): Package[] {
  const put = (path: string, text: string | Buffer, mode = 0o644) => {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), text, { mode });
    return path;
  };
  const userland = programs.flatMap(withLibraries).map((path) => put(path, readFileSync(path), 0o755));
  const directories = ['dev', 'etc', 'mnt', 'proc', 'run', 'sys', 'tmp', 'usr/sbin', 'var/log', 'var/tmp', 'boot'];
  for (const name of directories) mkdirSync(join(root, name), { recursive: true });
  const dracut = `#!/bin/sh
for kernel in /usr/lib/modules/*; do echo "$@" >/boot/initramfs-\${kernel##*/}.img; done
`;
  return [
    {
      name: 'filesystem',
      // As Fedora's has them: there they are mounted.
      files: directories.map(
        (name) => `${['proc', 'sys'].includes(name) ? '%ghost %attr(555, root, root) ' : ''}%dir /${name}`,
      ),
      more: `%pretrans -n filesystem -p <lua>
for _, link in ipairs({"bin", "sbin", "lib", "lib64"}) do
  posix.symlink("usr/" .. link, link)
end
`,
    },
    { name: 'userland', files: [...new Set(userland)], requires: 'filesystem' },
    {
      name: 'demo-release',
      files: [
        put('/etc/os-release', 'ID=demo\nVERSION_ID=9.1\nPRETTY_NAME="Demo Linux 9.1"\n'),
        put('/etc/selinux/config', '# how\nSELINUX=enforcing\nSELINUXTYPE=targeted\n'),
      ],
      requires: 'filesystem',
    },
    {
      name: 'kernel',
      files: [put(`/usr/lib/modules/${kernelVersion}/vmlinuz`, 'a kernel')],
      requires: 'userland',
    },
    { name: 'dracut', files: [put('/usr/bin/dracut', dracut, 0o755)], requires: 'userland' },
    {
      name: 'rights',
      files: [
        `%attr(4755, root, root) ${put('/usr/bin/su', 'su')}`,
        `%caps(cap_net_raw=ep) ${put('/usr/bin/ping', 'ping')}`,
      ],
      requires: 'userland',
    },
    {
      name: 'looks',
      files: [put('/usr/share/looks', '')],
      requires: 'userland',
      more: `%post -n looks
ls /proc/self/exe /dev/null /run/external >/etc/seen 2>&1
if [ -e /mnt/shown ]; then cat /mnt/shown >>/etc/seen; touch /mnt/shown 2>>/etc/seen; fi
exit 0
`,
    },
    {
      name: 'fails',
      files: [put('/usr/share/fails', '')],
      requires: 'userland',
      more: '%post -n fails\nexit 7\n',
    },
    {
      name: 'waits',
      files: [put('/usr/share/waits', '')],
      requires: 'userland',
      more: '%post -n waits\ntouch /etc/waiting; sleep 1000\n',
    },
    { name: 'needs', files: [put('/usr/share/needs', '')], requires: 'nobody-has-this' },
    { name: 'unsigned', files: [put('/usr/share/unsigned', '')], requires: 'userland' },
  ].map((one) => ({ ...one, more: one.more ?? '' }));
}

function spec(packages: readonly Package[]): string {
  const parts = packages.map(({ name, files, requires, more = '' }) =>
    [
      `%package -n ${name}`,
      'Summary: of the test',
      'AutoReqProv: no',
      ...(name === 'userland' ? ['Provides: /bin/sh'] : []),
      ...(requires === undefined ? [] : [`Requires: ${requires}`]),
      ...[`%description -n ${name}`, 'of the test', `%files -n ${name}`, ...files, more],
    ].join('\n'),
  );
  return `Name: demo
Version: 1
Release: 1
Summary: of the test
License: none
AutoReqProv: no
%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%description
of the test
%install
cp -a %{demo_root}/. %{buildroot}/
${parts.join('\n')}
`;
}
