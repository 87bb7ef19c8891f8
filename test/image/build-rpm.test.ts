/** Trees of .rpm packages, from a repository that is made here: by dnf and by zypper, what is refused, what fails, what is interrupted. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkoutCommand } from '../support/daemon.ts';
import { allProcesses, commandLine } from '../support/process-tree.ts';
import { waitUntil } from '../support/wait-until.ts';
import { buildPlace, tetherfs } from './build-place.ts';
import { kernelVersion, makeRpmRepository } from './rpm-repository.ts';

const place = buildPlace(makeRpmRepository);
const { site, at, inTree, words } = place;
const base = ['kernel', 'dracut', 'demo-release'];

const el9 = (...more: string[]) => ['-y', '--distro', 'el9', '-r', place.repository.directory, ...more];
const signed = () => ['--gpg-key', place.repository.key];

function packagesOf(database: string): string[] {
  const found = ['-qa', '--qf', '%{name}\\n', '--root', at('tree'), '--dbpath', database];
  return execFileSync('rpm', found, { encoding: 'utf8' }).trim().split('\n').sort();
}

describe.each([
  { distro: 'el9', tool: 'dnf', database: '/var/lib/rpm' },
  { distro: 'suse15', tool: 'zypper', database: '/usr/lib/sysimage/rpm' },
])('by $tool', ({ distro, tool, database }) => {
  const from = (...more: string[]) => ['-y', '--distro', distro, '-r', place.repository.directory, ...more];

  test('a tree is installed, prepared, and gets its initramfs; it can be packed', () => {
    const built = tetherfs(words([...base, 'rights'], ...from(...signed())));
    expect(built).toEqual({
      status: 0,
      stdout: `tree     ${at('tree')}\nkernel   ${kernelVersion}\n`,
      stderr: expect.stringMatching(
        new RegExp(
          `^tetherfs: building ${at('tree')}: ${distro} for x86_64, 4 packages and what they need\ntetherfs: installing ${distro}\ntetherfs: preparing it for diskless nodes\n` +
            '(?:tetherfs: its nodes need .*\n)+tetherfs: making its initramfs by dracut\ntetherfs: putting it in its place\n$',
        ),
      ),
    });
    expect(readdirSync(at())).toEqual(['tree']);
    expect(packagesOf(database).filter((name) => name !== 'gpg-pubkey')).toEqual(
      [...base, 'filesystem', 'rights', 'userland'].sort(),
    );
    expect(inTree(`boot/initramfs-${kernelVersion}.img`)).toBe('--force --regenerate-all\n');
    expect(existsSync(at('tree/usr/lib/tetherfs/runtime.sfs'))).toBe(true);
    expect(inTree('etc/confluentimg.buildinfo')).toMatch(/^BUILDDATE=20\d\d-\d\d-\d\dT\d\d:\d\d\nARCH=x86_64\n$/);
    expect(inTree('etc/selinux/config')).toBe('# how\nSELINUX=disabled\nSELINUXTYPE=targeted\n');
    expect(execFileSync('getcap', [at('tree/usr/bin/ping')], { encoding: 'utf8' })).toMatch(/cap_net_raw=ep\n$/);
    for (const empty of ['dev', 'mnt', 'proc', 'run', 'sys', 'tmp', 'var/log'])
      expect(execFileSync('find', [at('tree', empty), '-mindepth', '1'], { encoding: 'utf8' })).toBe('');
    const packed = tetherfs(['image', 'pack', '--private-dir', at('private'), at('tree'), at('public/demo')]);
    expect(packed).toMatchObject({ status: 0, stdout: expect.stringContaining(kernelVersion) });
    expect(readFileSync(at('public/demo/boot/initramfs/distribution'), 'utf8')).toBe('--force --regenerate-all\n');
  });

  test('scripts see /proc and /dev, and what -v shows, which is not theirs to write; it is not part of the tree', () => {
    writeFileSync(at('shown'), 'shown\n');
    const volumes = ['-v', `${at('shown')}:/mnt/shown`, '-v', `${site}:/opt/a/b`, '-v', site];
    expect(tetherfs(words(['looks'], ...from(...signed(), ...volumes)))).toMatchObject({ status: 0 });
    expect(inTree('etc/seen')).toMatch(
      new RegExp(`/dev/null\n.*/proc/self/exe\n[^]*${site.split('/')[1]}\nshown\n.*Read-only`),
    );
    expect([readdirSync(at('tree/mnt')), existsSync(at('tree/opt'))]).toEqual([[], false]);
    expect(readFileSync(at('shown'), 'utf8')).toBe('shown\n');
  });

  test('a script that fails is told', () => {
    const { status, stderr } = tetherfs(words(['fails'], ...from(...signed())));
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stderr).toMatch(/^tetherfs: .*fails.*script.*failed.*7/m);
    expect(stderr).toMatch(/^tetherfs: it has no kernel: no node boots it$/m);
  });

  test.each([
    ['missing', /nonexistent/],
    ['needing what nobody has', /nobody-has-this/],
  ])('a package that is %s is named, with the step, and nothing is left', (_, why) => {
    const name = why.source === 'nonexistent' ? 'nonexistent' : 'needs';
    const { status, stderr } = tetherfs(words([...base, name], ...from(...signed())));
    expect(status).toBe(1);
    const last = stderr.trim().split('\n').at(-1) ?? '';
    expect(last).toMatch(
      new RegExp(`^tetherfs: installing ${distro}: ${tool} ended with status \\d+: .*; nothing was left$`),
    );
    expect(last).toMatch(why);
    expect(readdirSync(at())).toEqual([]);
  });

  test('a package without the signature is refused, but for --no-gpg-check', () => {
    const refused = tetherfs(words(['unsigned'], ...from(...signed())));
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringMatching(/unsigned/) });
    const other = tetherfs(words(['demo-release'], ...from('--gpg-key', place.repository.otherKey)));
    expect(other).toMatchObject({ status: 1, stderr: expect.stringMatching(/key|ignature|GPG/) });
    expect(readdirSync(at())).toEqual([]);
    expect(tetherfs(words(['unsigned'], ...from('--no-gpg-check')))).toMatchObject({ status: 0 });
    expect(packagesOf(database)).toContain('unsigned');
  });
});

describe('a medium', () => {
  test('that confluent has imported is named; it tells what it is, has its keys, and is written down', () => {
    const medium = at('confluent/distributions/demo-9.1');
    mkdirSync(medium, { recursive: true });
    cpSync(place.repository.directory, join(medium, 'BaseOS'), { recursive: true });
    cpSync(place.repository.key, join(medium, 'RPM-GPG-KEY-demo'));
    mkdirSync(join(medium, 'BaseOS/Packages'));
    writeFileSync(join(medium, 'BaseOS/Packages/almalinux-release-9.1-1.el9.x86_64.rpm'), '');
    const { status, stderr } = tetherfs(words(base, '-y', '-s', 'demo-9.1', '--tree', at('confluent')));
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringContaining('el9 for x86_64') });
    expect(inTree('etc/confluentimg.buildinfo')).toMatch(`\nBUILDSRC=${medium}\n`);
  });

  test.each([
    ['nowhere', /-s nowhere: .*\/distributions\/nowhere: no such file/],
    ['/usr/share/keyrings', /nothing tells of which distribution it is: say --distro/],
  ])('%s: what is wrong is said', (source, why) => {
    expect(tetherfs(words(base, '-y', '-s', source, '--tree', at('confluent')))).toEqual({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(why),
    });
  });
});

test.each([
  ['nobody to ask', ['--distro', 'el9'], /nobody is there to be asked: say -y/],
  ['another distribution', ['-y', '--distro', 'plan9'], /--distro plan9: it is one of debian-11, .*el9.*fedora-N/],
  ['another version', ['-y', '--distro', 'el7'], /--distro el7: it is one of/],
  ['another processor', ['-y', '--arch', 'riscv64'], /--arch riscv64: it is x86_64 \(amd64\) or aarch64 \(arm64\)/],
  ['no repository', ['-y', '--distro', 'el9'], /knows no repositories of that distribution: give some with -r/],
  [
    'no such repository',
    ['-y', '--distro', 'el9', '-r', '/usr'],
    /-r \/usr: .*there is no \/usr\/repodata\/repomd.xml/,
  ],
  ['no key', ['-y', '--distro', 'el9', '-r', 'REPOSITORY'], /give --gpg-key, or say --no-gpg-check/],
  [
    'no such key',
    ['-y', '--distro', 'el9', '-r', 'REPOSITORY', '--gpg-key', '/nowhere'],
    /--gpg-key \/nowhere: no such file/,
  ],
  ['no such list', ['-y', '--distro', 'el9', '-a', '/nowhere'], /the package list \/nowhere: no such file/],
  ['no such volume', ['-y', '--distro', 'el9', '-v', 'a:b'], /-v a:b: give SRC/],
])('%s: one line says what to do, and nothing is left', (_, options, why) => {
  const given = options.map((word) => word.replace('REPOSITORY', place.repository.directory));
  const { status, stdout, stderr } = tetherfs(words(base, ...given));
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr.trim().split('\n').at(-1)).toMatch(why);
  expect(readdirSync(at())).toEqual([]);
});

test('a directory that has something is not built into', () => {
  mkdirSync(at('tree/etc'), { recursive: true });
  expect(tetherfs(words(base, ...el9(...signed())))).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/tree is there, and is no empty directory/),
  });
});

describe('interrupted', () => {
  async function started() {
    const child = spawn(checkoutCommand, words(['waits'], ...el9(...signed())), {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const ended = once(child, 'close');
    const place = () => {
      const name = readdirSync(at()).find((one) => one.startsWith('.tree.build-'));
      return name !== undefined && existsSync(at(name, 'root/etc/waiting'));
    };
    await waitUntil('a script of a package runs', place, { timeoutMs: 60_000 });
    return { child, ended, said: () => said };
  }
  const waiting = () => allProcesses().filter((pid) => commandLine(pid).includes('sleep 1000'));

  test('by Ctrl-C it leaves nothing', async () => {
    const { child, ended, said } = await started();
    child.kill('SIGINT');
    expect(await ended).toEqual([1, null]);
    expect(said()).toMatch(/tetherfs: building was interrupted while installing el9; nothing was left\n$/);
    await waitUntil('what it ran has ended', () => waiting().length === 0);
    expect(readdirSync(at())).toEqual([]);
  });

  test('by kill -9 what it ran ends with it; the next build removes what is left, and is whole', async () => {
    const { child, ended } = await started();
    child.kill('SIGKILL');
    await ended;
    await waitUntil('what it ran has ended', () => waiting().length === 0);
    const [left = ''] = readdirSync(at());
    const { status, stderr } = tetherfs(words(base, ...el9(...signed())));
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringContaining(`tetherfs: removed what a killed build had left: ${at(left)}\n`),
    });
    expect(readdirSync(at())).toEqual(['tree']);
  });
});
