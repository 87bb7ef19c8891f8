/** Files of the new root as texts: what is in them already, in whatever form, stays. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { groupNamed, homeOfRoot, isCryptText, withRootPassword } from '../../src/node/identity/accounts.ts';
import { withOwnName } from '../../src/node/identity/host-file.ts';
import { machineIdOf } from '../../src/node/identity/machine-id.ts';
import { RootTree } from '../../src/node/identity/root-tree.ts';
import { settingsFile, withLines } from '../../src/node/identity/ssh-files.ts';
import { makeSshKey, parseHostCertificate, pointOf } from '../../src/protocol/ssh-key.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const temp = makeTempDir('identity-files');
afterAll(() => temp.remove());
const at = (path: string) => join(temp.path, path);

describe('accounts', () => {
  it('root’s password alone changes', () => {
    expect(withRootPassword('roota:x::::::\nroot:!:1:2:3:4:5:6:7\n', '$6$a$b')).toBe(
      'roota:x::::::\nroot:$6$a$b:1:2:3:4:5:6:7\n',
    );
    expect(withRootPassword('daemon:*:1::::::\n', '$6$a$b')).toBe('root:$6$a$b:::::::\ndaemon:*:1::::::\n');
  });

  it.each(['', 'a:b', 'a\nroot2::0', 'a b', 'ä'])('no hash: %j', (hash) => expect(isCryptText(hash)).toBe(false));

  it('groups and homes are the image’s', () => {
    expect(groupNamed('ssh_keysx:x:1:\nssh_keys:x:999:\n', 'ssh_keys')).toBe(999);
    expect(groupNamed(undefined, 'ssh_keys')).toBeUndefined();
    expect(homeOfRoot('root:x:0:0::/var/root:/bin/sh\n')).toBe('/var/root');
    expect(homeOfRoot(undefined)).toBe('/root');
  });
});

describe('settings of ssh', () => {
  const settings = { dropIn: '/etc/ssh/x.d/00-t.conf', main: '/etc/ssh/x', text: 'OURS\n' } as const;
  it('have a file of their own where there is a directory for them, for all hosts', () => {
    for (const line of ['Include /etc/ssh/x.d/*.conf', '  include /etc/other "/etc/ssh/x.d/*.conf"'])
      expect(settingsFile({ ...settings, goes: 'first' }, `# a\n${line}\nPort 22\n`).path).toBe(settings.dropIn);
    for (const line of ['#Include /etc/ssh/x.d/*.conf', 'Match User a\n  Include /etc/ssh/x.d/*.conf'])
      expect(settingsFile({ ...settings, goes: 'first' }, `${line}\n`).path).toBe(settings.main);
  });

  it('come before or behind what there is', () => {
    expect(settingsFile({ ...settings, goes: 'first' }, 'Match User a\n').content).toBe('OURS\n\nMatch User a\n');
    expect(settingsFile({ ...settings, goes: 'last' }, 'Host a\n\n').content).toBe('Host a\n\nOURS\n');
  });

  it('and once, however often', () => {
    for (const goes of ['first', 'last'] as const) {
      const { content } = settingsFile({ ...settings, goes }, 'Port 22\n');
      expect(settingsFile({ ...settings, goes }, content).content).toBe(content);
    }
  });

  it('lines are added once', () => expect(withLines('a\n\nb', ['b', 'c', 'c'])).toBe('a\nb\nc\n'));
});

describe('names', () => {
  it.each([
    [undefined, '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 n1\n'],
    ['10.0.0.1 n10 # n1\n', '10.0.0.1 n10 # n1\n127.0.1.1 n1\n'],
    ['10.0.0.1\tn1.x n1\n', '10.0.0.1\tn1.x n1\n'],
  ])('%j', (hosts, expected) =>
    expect(withOwnName(hosts, { node: 'n1', address: undefined, domain: undefined })).toBe(expected),
  );

  it('of a node that is called with its domain', () =>
    expect(withOwnName('', { node: 'n1.x.org', address: '10.0.0.9', domain: 'y.org' })).toBe(
      '\n10.0.0.9 n1.x.org n1\n',
    ));

  // printf 'n1\n4c4c…' | sha512sum
  it('the machine id is upstream’s', () =>
    expect(machineIdOf('n1', '4c4c4544-0042-3010-8044-b4c04f4e4331\n')).toBe(
      execFileSync('sh', [
        '-c',
        "printf 'n1\\n4c4c4544-0042-3010-8044-b4c04f4e4331' | sha512sum | head -c 32",
      ]).toString(),
    ));
});

describe('a key of ssh', () => {
  it('is what ssh-keygen reads', () => {
    for (let count = 0; count < 20; count++) {
      const { privateKey, publicKey } = makeSshKey('x'.repeat(count));
      writeFileSync(at('key'), privateKey, { mode: 0o600 });
      expect(execFileSync('ssh-keygen', ['-y', '-f', at('key')], { encoding: 'utf8' }).trim()).toBe(publicKey.trim());
    }
  });

  it('its certificate is read, and nothing that is none', () => {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at('ca')]);
    const { publicKey } = makeSshKey('root@n1');
    const sign = (...words: string[]) => {
      writeFileSync(at('n1.pub'), publicKey);
      execFileSync('ssh-keygen', [
        '-q',
        '-s',
        at('ca'),
        '-I',
        'n1',
        '-n',
        'n1,10.0.0.1',
        '-z',
        '7',
        ...words,
        at('n1.pub'),
      ]);
      return readFileSync(at('n1-cert.pub'), 'utf8');
    };
    const line = sign('-h');
    expect(parseHostCertificate(line)).toMatchObject({
      point: pointOf(publicKey),
      serial: 7n,
      principals: ['n1', '10.0.0.1'],
    });
    expect(() => parseHostCertificate(sign())).toThrow(/no certificate of a host/);
    for (const wrong of [publicKey, '', 'x', line.slice(0, 300)])
      expect(() => parseHostCertificate(wrong)).toThrow(/no certificate|too early/);
  });
});

describe('the new root', () => {
  it('links are followed inside it; what is in the way of a directory is told', async () => {
    const tree = new RootTree(at('tree'));
    mkdirSync(at('tree/real/etc'), { recursive: true });
    symlinkSync('/real/etc', at('tree/etc'));
    symlinkSync('/nowhere', at('tree/real/etc/dangling'));
    symlinkSync('../../../../../../../../outside', at('tree/real/etc/out'));
    await tree.write('/etc/a/b', 'x', { mode: 0o600 });
    await tree.write('/etc/dangling', 'x');
    await tree.write('/etc/out', 'x');
    expect(readFileSync(at('tree/real/etc/a/b'), 'utf8')).toBe('x');
    expect(readFileSync(at('tree/real/etc/dangling'), 'utf8')).toBe('x');
    expect(readFileSync(at('tree/real/etc/out'), 'utf8')).toBe('x');
    await expect(tree.write('/etc/a/b/c', 'x')).rejects.toThrow('/etc/a/b of the image is no directory');
    await expect(tree.write('/etc/a', 'x')).rejects.toThrow('/etc/a of the image is no file');
    expect(await tree.read('/etc/none')).toBeUndefined();
  });
});
