/** Trees of .deb packages: Ubuntu from a repository that is made here. Debian is built, and boots, in test/boot. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { buildPlace, tetherfs } from './build-place.ts';
import { kernelVersion, makeDebRepository } from './deb-repository.ts';

const place = buildPlace(makeDebRepository);
const { site, at, inTree, words } = place;
const base = ['linux-image-generic'];
const signed = () => ['--gpg-key', place.repository.key];

/** A build of these packages. */
const build = (packages: readonly string[], ...more: string[]) =>
  tetherfs(words(packages, '-y', '--distro', 'ubuntu-24.04', '-r', place.repository.directory, ...more));

test('a tree is installed, prepared, and gets its initramfs; its own apt knows the repository and believes the key', () => {
  expect(build(base, ...signed())).toEqual({
    status: 0,
    stdout: `tree     ${at('tree')}\nkernel   ${kernelVersion}\n`,
    stderr: expect.stringMatching(/^tetherfs: building .*: ubuntu-24.04 for \w+, 1 packages and what they need\n/),
  });
  expect(readdirSync(at())).toEqual(['tree']);
  expect(inTree('var/lib/dpkg/status').match(/^Package: .*$/gm)).toEqual(
    expect.arrayContaining(
      ['apt', 'initramfs-tools', 'linux-image-generic', 'userland'].map((name) => `Package: ${name}`),
    ),
  );
  expect(inTree(`boot/initrd.img-${kernelVersion}`)).toBe('-c -k all\n');
  expect(existsSync(at('tree/usr/lib/tetherfs/runtime.sfs'))).toBe(true);
  expect(inTree('etc/apt/sources.list')).toBe(`deb file://${place.repository.directory} noble main universe\n`);
  expect(readdirSync(at('tree/etc/apt/trusted.gpg.d'))).toEqual(['tetherfs-0-key.asc']);
  for (const empty of ['proc', 'run', 'sys', 'tmp']) expect(readdirSync(at('tree', empty))).toEqual([]);
});

test('scripts see /proc and /dev, and what -v shows, which is not theirs to write; it is not part of the tree', () => {
  writeFileSync(at('shown'), 'shown\n');
  const volumes = ['-v', `${at('shown')}:/mnt/shown`, '-v', `${site}:/opt/a/b`];
  expect(build(['looks'], ...signed(), ...volumes)).toMatchObject({ status: 0 });
  expect(inTree('etc/seen')).toMatch(/^\/dev\/null\n\/proc\/self\/fd\nshown\nlooks.*Read-only file system\n$/s);
  expect([readdirSync(at('tree/mnt')), existsSync(at('tree/opt'))]).toEqual([['.keep'], false]);
  expect(readFileSync(at('shown'), 'utf8')).toBe('shown\n');
});

test.each([
  ['nonexistent', /Unable to locate package nonexistent/],
  ['needs', /needs : Depends: nobody-has-this/],
  ['fails', /dpkg: error processing package fails \(--configure\)/],
])('a package that cannot be installed (%s) is named, with the step, and nothing is left', (name, why) => {
  const { status, stderr } = build([...base, name], ...signed());
  const last = stderr.trim().split('\n').at(-1) ?? '';
  expect({ status, last }).toEqual({
    status: 1,
    last: expect.stringMatching(
      /^tetherfs: installing ubuntu-24.04: mmdebstrap ended with status \d+: .*; nothing was left$/,
    ),
  });
  expect(last).toMatch(why);
  expect(readdirSync(at())).toEqual([]);
});

test('a repository that somebody else has signed is refused, but for --no-gpg-check', () => {
  const { status, stderr } = build(base, '--gpg-key', place.repository.otherKey);
  expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringMatching(/NO_PUBKEY|not signed/) });
  expect(readdirSync(at())).toEqual([]);
  expect(build(base, '--no-gpg-check')).toMatchObject({ status: 0 });
});

test('a medium tells what it is by its directories', () => {
  mkdirSync(at('medium'));
  spawnSync('cp', ['-a', `${place.repository.directory}/.`, at('medium')]);
  const { status, stderr } = tetherfs(words(base, '-y', '-s', at('medium'), ...signed()));
  expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringContaining(': ubuntu-24.04 for ') });
});
