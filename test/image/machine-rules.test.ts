/** What a machine that is captured does by grep and sed is what we do. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { bytesOf } from '../../src/base/tree-entry.ts';
import { hashed, withoutHashes } from '../../src/imgutil/capture/collector.ts';
import { withoutDisks } from '../../src/imgutil/capture/fstab.ts';
import { machineFiles } from '../../src/imgutil/machine-files.ts';
import { machineRules } from '../../src/imgutil/machine-rules.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const directory = makeTempDir('machine-rules');
afterAll(() => directory.remove());

const env = { ...process.env, LC_ALL: 'C' };

/** Each is a file. */
const texts = [
  ...['uninitialized\n', '0123456789abcdef0123456789abcdef\n', 'u1\n', '', '\n', 'x'],
  ...['-----BEGIN PRIVATE KEY-----\nx\n', '-----BEGIN OPENSSH PRIVATE KEY-----', '-----BEGIN CERTIFICATE-----\n'],
  ...['PuTTY-User-Key-File-3: ssh', 'ssh-ed25519 AAAA x\n', 'user.password=x', 'PassWord: x\n', '# password\n'],
  ...['auth_pass = x\n', 'a pass\n', 'pass\nx', 'bypass\n', 'keyring\n', 'x\nkey y', '# key\nkeys', 'monkey\n'],
  ...[
    'rootpw --iscrypted $6$abc$def\n',
    '$5$x',
    '$12$',
    '$2b$',
    'grub.pbkdf2.sha512',
    'psk="x"\n',
    'pre-shared',
    'preshared',
  ],
  ...[
    'wep-key0',
    'wep_key',
    'wepkey',
    'cak=1',
    'scakes',
    'pin=2',
    'spinning',
    'x-pass',
    'certificate blob\n',
    '1 MD5 x\n',
  ],
  ...[
    '12\tSHA1 x',
    'client-key-data: x',
    'iface lo inet loopback\n',
    'auto lo\n',
    'ldap_default_authtok\n',
    'bindpw x',
  ],
  ...['\0\0secret\0', '\xff\xfetoken\n', 'line\r\npassw\r\n', 'ä schlüssel key ö', '#x\n  token', 'a#token'],
];

const files = texts.map((text, index) => {
  const file = join(directory.path, `text-${index}`);
  writeFileSync(file, text, 'latin1');
  return file;
});

test.each([...new Set(machineRules.map(({ ifItHolds }) => ifItHolds).filter((one) => one !== undefined))])(
  'grep finds what we find: %s',
  (pattern) => {
    const here = texts.map((text) => new RegExp(pattern, 'im').test(text));
    const { stdout } = spawnSync('grep', ['-laiE', '-e', pattern, ...files], { encoding: 'utf8', env });
    const there = files.map((file) => stdout.split('\n').includes(file));
    expect(there).toEqual(here);
    expect(here).toContain(true);
    expect(here).toContain(false);
  },
);

test('sed makes of password files what we make of them', async () => {
  const long = 'h'.repeat(13);
  const lines = [
    'root',
    'a:*',
    'b:!:x',
    'c:!!',
    `d:${long}:1`,
    `e:!${long}:1`,
    `f:!!${long}`,
    `g:${'h'.repeat(12)}:1`,
    `:${long}`,
    `i:x:${long}`,
    `j:$y$\xff${long}:`,
    `k:${long}`,
    '#:x',
  ];
  const all = [lines.join('\n'), `${lines.join('\n')}\n`, '', '\n', ...lines];
  for (const [index, text] of all.entries()) {
    const place = join(directory.path, String(index), 'etc/shadow');
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, text, 'latin1');
    const tree = bytesOf(join(directory.path, String(index)));
    const [found] = await machineFiles(tree, { keep: [] });
    const there = execFileSync('sed', ['-E', withoutHashes, place], { env }).toString('latin1');
    expect(there).toBe(found?.blank ?? text);
    expect(spawnSync('grep', ['-qaiE', '-e', hashed, place], { env }).status === 0).toBe(found !== undefined);
  }
});

test('lines of disks become comments that an installer finds again, all others stay', () => {
  const text = [
    '# /dev/sda1 / ext4 defaults 0 1',
    'UUID=1 / xfs defaults 0 0',
    '  LABEL=x\t/boot\text2 ro',
    'PARTUUID=2 /efi vfat umask=0077,shortname=winnt 0 2',
    '/dev/mapper/s none swap sw 0 0',
    'nfs:/a /a nfs4 ro 0 0',
    'tmpfs /tmp tmpfs mode=1777',
    '/dev/sr0 /media iso9660 ro',
    '/swapfile swap swap defaults',
    '//s/share /c cifs credentials=/etc/c',
    '#ORIGFSTAB#UUID=3# /x btrfs subvol=@ 0 0',
    'odd',
    '',
  ];
  const changed = new Map([
    [1, '#ORIGFSTAB#UUID=1# / xfs defaults 0 0'],
    [2, '#ORIGFSTAB#LABEL=x#\t/boot\text2 ro'],
    [3, '#ORIGFSTAB#PARTUUID=2# /efi vfat umask=0077,shortname=winnt 0 2'],
    [4, '#ORIGFSTAB#/dev/mapper/s# none swap sw 0 0'],
    [7, '#ORIGFSTAB#/dev/sr0# /media iso9660 ro'],
    [8, '#ORIGFSTAB#/swapfile# swap swap defaults'],
  ]);
  const expected = text.map((line, index) => changed.get(index) ?? line).join('\n');
  expect(withoutDisks(text.join('\n'))).toBe(expected);
  expect(withoutDisks(expected)).toBe(expected);
});
