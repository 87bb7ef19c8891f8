/** `imgutil`: confluent's tool by its own arguments, in its own places. What each does is tested where `tetherfs image` is. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkoutCommand } from '../support/daemon.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { withLibraries } from './own-programs.ts';

const command = join(dirname(checkoutCommand), 'imgutil');
const directory = makeTempDir('imgutil');
const at = (...path: string[]) => join(directory.path, ...path);
const published = '/var/lib/confluent/public/os';

// Nobody else has this place: this file has a mount namespace of its own.
beforeAll(() => {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'confluent', '/var/lib']);
  mkdirSync(at('tree/usr/bin'), { recursive: true });
  for (const name of ['etc', 'boot']) mkdirSync(at('tree', name));
  writeFileSync(at('tree/etc/hostname'), 'node\n');
});
afterAll(() => {
  execFileSync('umount', ['/var/lib']);
  directory.remove();
});

function imgutil(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(command, words, { encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('pack: a name becomes a profile in confluent’s tree, its key in the private one; -b, -u', () => {
  expect(imgutil('pack', at('tree'), 'one')).toMatchObject({ status: 0 });
  const key = readFileSync('/var/lib/confluent/private/os/one/pending/rootimg.key', 'latin1');
  expect(key).toMatch(/^aes-xts-plain64\n[0-9a-f]{64}\n?$/);
  writeFileSync(`${published}/one/profile.yaml`, 'label: of one\nkernelargs: quiet\n');
  expect(imgutil('pack', '-b', 'one', '-u', at('tree'), 'two')).toMatchObject({ status: 0 });
  expect(readFileSync(`${published}/two/profile.yaml`, 'utf8')).toBe('label: of one\nkernelargs: quiet\n');
  expect(readFileSync(`${published}/two/build-info`, 'utf8')).toMatch(/^BASEPROFILE=one$/m);
  expect(readFileSync(`${published}/two/rootimg.sfs`, 'latin1').slice(0, 4)).toBe('hsqs');
  expect(existsSync('/var/lib/confluent/private/os/two')).toBe(false);
});

test('capture: a name becomes a profile of a machine, whose root it asks; where that is not there, nothing is left', () => {
  const { status, stderr } = imgutil('capture', 'nowhere.invalid', 'three');
  expect({ status, stderr }).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/\ntetherfs: cannot capture root@nowhere\.invalid: ssh: .*nowhere\.invalid.*\n$/),
  });
  expect(readdirSync(published)).not.toContain('three');
  expect(imgutil('capture', 'n1', 'a/b')).toMatchObject({ status: 2, stderr: expect.stringContaining('no name') });
});

test('unpack: a profile becomes a tree again', () => {
  expect(imgutil('unpack', 'one', at('again'))).toMatchObject({ status: 0 });
  expect(readFileSync(at('again/etc/hostname'), 'utf8')).toBe('node\n');
});

test('exec: the command’s words and status are its own; -v shows; the medium is at /run/confluentdistro', () => {
  const busy = at('busy');
  for (const name of ['usr/bin', 'etc', 'proc', 'dev']) mkdirSync(join(busy, name), { recursive: true });
  for (const path of ['sh', 'cat'].flatMap(withLibraries)) {
    mkdirSync(dirname(join(busy, path)), { recursive: true });
    execFileSync('cp', ['-L', path, join(busy, path)]);
  }
  for (const link of ['bin', 'lib', 'lib64']) symlinkSync(`usr/${link}`, join(busy, link));
  mkdirSync(at('medium'));
  writeFileSync(at('medium/what'), 'a medium\n');
  writeFileSync(join(busy, 'etc/confluentimg.buildinfo'), `BUILDDATE=2026-01-01T00:00\nBUILDSRC=${at('medium')}\n`);
  writeFileSync(at('shown'), 'shown\n');
  const script = 'cat "$1" /run/confluentdistro/what; exit 7';
  const words = ['-v', `${at('shown')}:/run/here`, busy, 'sh', '-c', script, 'sh', '/run/here'];
  expect(imgutil('exec', ...words)).toEqual({ status: 7, stdout: 'shown\na medium\n', stderr: '' });
});

test('build: all options of the other', () => {
  writeFileSync(at('list'), 'kernel');
  const options = [
    '-r',
    '/nowhere,/elsewhere',
    '-p',
    at('list'),
    '-a',
    at('list'),
    '--arch',
    'x86_64',
    '-v',
    `${at()}:-`,
  ];
  expect(imgutil('build', '-y', ...options, '-s', 'not-imported', at('built'))).toEqual({
    status: 2,
    stdout: '',
    stderr: 'tetherfs: -s not-imported: /var/lib/confluent/distributions/not-imported: no such file or directory\n',
  });
});

test.each([
  [['pack', '/usr', 'a/b'], /a\/b is no name of a profile/],
  [['pack', '/usr'], /missing required argument 'profilename'/],
  [['build', '--no-such', '/x'], /unknown option '--no-such'/],
  [['unpack', 'nobodys', '/x'], /nobodys: there is no such file, and no such profile in \/var\/lib\/confluent/],
])('%j: one line says what is wrong', (words, why) => {
  const { status, stdout, stderr } = imgutil(...words);
  expect({ status, stdout, lines: stderr.split('\n').length }).toEqual({ status: 2, stdout: '', lines: 2 });
  expect(stderr).toMatch(why);
});
