/** `image publish PROFILE --to MEMBER`: over a real sshd, with rsync, into a tree of another owner. */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseRemoteMember } from '../../src/imgutil/remote-member.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import type { ServerProgram } from '../support/server-program.ts';
import { startSshd } from '../support/sshd.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const run = promisify(execFile);
const address = '127.0.0.19';
const owner = 33;

let directory: TempDir;
let sshd: ServerProgram;
/** Digest of the image that each test begins with. */
let first: string;
const at = (...path: string[]) => join(directory.path, ...path);
const here = (...path: string[]) => at('here', ...path);
const there = (...path: string[]) => at('a tree there', ...path);

beforeAll(async () => {
  directory = makeTempDir('publish');
  for (const name of ['host', 'key']) await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at(name)]);
  writeFileSync(at('authorized_keys'), readFileSync(at('key.pub')), { mode: 0o600 });
  // What publishing has rsync do there, it does by this one, which waits where a test says so.
  mkdirSync(at('bin'));
  writeFileSync(at('bin/rsync'), rsyncThere(), { mode: 0o755 });
  sshd = await startSshd({
    address,
    hostKey: at('host'),
    authorizedKeys: at('authorized_keys'),
    environment: [`PATH=${at('bin')}:/usr/bin:/bin`],
  });
  const { stdout } = await run('ssh-keyscan', ['-T', '2', address]);
  writeFileSync(at('known hosts'), stdout);
  writeFileSync(
    at('ssh config'),
    `Host m2\n  HostName ${address}\nHost *\n  User root\n  IdentityFile "${at('key')}"\n  UserKnownHostsFile "${at('known hosts')}"\n  BatchMode yes\n`,
  );
  mkdirSync(at('root/etc'), { recursive: true });
  mkdirSync(here('public/os'), { recursive: true });
  first = pack('first');
  renameSync(here(), at('packed'));
});
afterAll(async () => {
  await sshd?.[Symbol.asyncDispose]();
  directory?.remove();
  rmSync('/run/sshd', { recursive: true, force: true });
});

/** After so many calls as are in the file `let` it waits, and says so; it goes on when that file has gone. */
function rsyncThere(): string {
  return `#!/bin/sh
if [ -e ${at('let')} ]; then
  left=$(cat ${at('let')})
  if [ "$left" -gt 0 ]; then
    echo $((left - 1)) >${at('let')}
  else
    : >${at('waits')}
    while [ -e ${at('let')} ]; do sleep 0.05; done
  fi
fi
exec /usr/bin/rsync "$@"
`;
}

const tetherfs = (...words: string[]) => spawnSync(tetherfsCommand, words, { encoding: 'utf8' });

/** @returns its digest. */
function pack(content: string): string {
  writeFileSync(at('root/etc/hostname'), content);
  const words = ['image', 'pack', at('root'), here('public/os/demo'), '--private-dir', here('private/os/demo')];
  const { status, stderr } = tetherfs(...words);
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  const info = tetherfs('image', 'info', '--json', here('public/os/demo/rootimg.sfs'));
  return (JSON.parse(info.stdout) as { verity: { digest: string } }).verity.digest;
}

const publish = (...words: string[]) =>
  tetherfs(
    ...[
      'image',
      'publish',
      '--tree',
      here(),
      '--private-dir',
      here('private/os/demo'),
      '--ssh-config',
      at('ssh config'),
    ],
    ...words,
  );
const toM2 = () => publish('demo', '--to', `m2:${there()}`);
const here1 = (...path: string[]) => here('public/os/demo', ...path);
const there1 = (...path: string[]) => there('public/os/demo', ...path);
/** What is not there: it is all the same. */
const differences = (kind: 'public' | 'private') =>
  spawnSync('diff', ['-r', '--no-dereference', here(kind, 'os/demo'), there(kind, 'os/demo')], { encoding: 'utf8' })
    .stdout;

describe('image publish', () => {
  beforeEach(() => {
    for (const tree of [here(), there()]) rmSync(tree, { recursive: true, force: true });
    execFileSync('cp', ['-a', at('packed'), here()]);
    mkdirSync(there('public/os'), { recursive: true });
    mkdirSync(there('private'), { mode: 0o700 });
    for (const place of [there(), there('public'), there('public/os'), there('private')])
      chownSync(place, owner, owner);
  });

  it('a profile is there with its keys, as its owner there wants it; again with another image, and the first stays', () => {
    expect(toM2()).toMatchObject({ status: 0, stdout: `m2:${there()}: has demo, ${first}\n`, stderr: '' });
    expect(differences('public') + differences('private')).toBe('');
    expect(statSync(there1('rootimg.sfs')).uid).toBe(owner);
    expect(lstatSync(there1('rootimg.sfs')).uid).toBe(owner);
    expect(statSync(there1()).mode & 0o777).toBe(0o755);
    const key = statSync(there('private/os/demo/pending/rootimg.key'));
    expect({ uid: key.uid, mode: key.mode & 0o777 }).toEqual({ uid: owner, mode: 0o600 });
    expect(statSync(there('private/os/demo')).mode & 0o777).toBe(0o700);
    const arrived = lstatSync(there1(`rootimg-${first.slice(7)}.sfs`)).ctimeMs;
    const second = pack('second');
    expect(toM2()).toMatchObject({ status: 0, stdout: `m2:${there()}: has demo, ${second}\n`, stderr: '' });
    expect(differences('public') + differences('private')).toBe('');
    expect(readFileSync(there('private/os/demo/pending/rootimg.key'))).toEqual(
      readFileSync(there(`private/os/demo/pending/rootimg-${second.slice(7)}.key`)),
    );
    // `image gc` there knows by that how long it has been out of use.
    expect(lstatSync(there1(`rootimg-${first.slice(7)}.sfs`)).ctimeMs).toBe(arrived);
  });

  it('what is damaged there is made good; what is another’s there stays', () => {
    toM2();
    const [image = ''] = readdirSync(there1()).filter((name) => /^rootimg-.*\.sfs$/.test(name));
    const { atime, mtime } = statSync(there1(image));
    const bytes = readFileSync(there1(image));
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    writeFileSync(there1(image), bytes);
    execFileSync('touch', ['-d', mtime.toISOString(), there1(image)]);
    expect(atime).toBeDefined();
    writeFileSync(there1('boot.ipxe'), 'theirs');
    expect(toM2()).toMatchObject({ status: 0, stderr: '' });
    expect(readFileSync(there1(image))).toEqual(readFileSync(here1(image)));
    expect(readFileSync(there1('boot.ipxe'), 'utf8')).toBe('theirs');
  });

  it('what members have learned of their own nodes, and what is under way, does not go along', () => {
    mkdirSync(here('private/os/demo/pending/traces-0123'));
    writeFileSync(here('private/os/demo/pending/traces-0123/n1'), 'x');
    writeFileSync(here1('.rootimg.sfs.new-1-ab'), 'x');
    toM2();
    expect(existsSync(there('private/os/demo/pending/traces-0123'))).toBe(false);
    expect(readdirSync(there1()).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('a file there where a directory is here: it is refused before anything changes', () => {
    toM2();
    mkdirSync(here1('scripts'));
    writeFileSync(here1('scripts/functions'), 'x');
    writeFileSync(there1('scripts'), 'theirs');
    const before = execFileSync('ls', ['-lR', '--time-style=full-iso', there1()]);
    pack('second');
    const { status, stderr } = toM2();
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/scripts is no directory there, as it is here/),
    });
    expect(execFileSync('ls', ['-lR', '--time-style=full-iso', there1()])).toEqual(before);
  });

  it('the site archive goes along where there is none, and the name is that of here, wherever a link leads', () => {
    mkdirSync(here('public/site'));
    writeFileSync(here('public/site/initramfs.cpio'), 'the site');
    expect(toM2().status).toBe(0);
    expect(readFileSync(there('public/site/initramfs.cpio'), 'utf8')).toBe('the site');
    writeFileSync(here('public/site/initramfs.cpio'), 'another');
    renameSync(here1(), here('public/os/demo-v2'));
    symlinkSync('demo-v2', here1());
    expect(toM2()).toMatchObject({ status: 0, stdout: expect.stringMatching(/: has demo, sha256:/) });
    expect(readFileSync(there('public/site/initramfs.cpio'), 'utf8')).toBe('the site');
    expect(existsSync(there('public/os/demo-v2'))).toBe(false);
  });

  it('one member is not there: the others get it, and it is said', () => {
    const { status, stdout, stderr } = publish('demo', '--to', 'root@127.0.0.20', `m2:${there()}`);
    expect({ status, stdout }).toEqual({ status: 1, stdout: expect.stringMatching(/^m2:.*: has demo, sha256:/) });
    expect(stderr).toMatch(
      /^tetherfs: root@127\.0\.0\.20: ssh: .*Connection refused.*\ntetherfs: 1 of 2 members have not got demo\n$/,
    );
  });

  it('a damaged image goes nowhere', () => {
    const [image = ''] = readdirSync(here1()).filter((name) => /^rootimg-.*\.sfs$/.test(name));
    const bytes = readFileSync(here1(image));
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    chmodSync(here1(image), 0o644);
    writeFileSync(here1(image), bytes);
    const { status, stderr } = toM2();
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/^tetherfs: .*\.sfs is damaged at .*: pack it again\n$/),
    });
    expect(existsSync(there1())).toBe(false);
  });

  it('killed on the way: there it is as it was, and the next one goes through', async () => {
    toM2();
    const before = readdirSync(there1());
    const second = pack('second');
    // All of it has been copied, in two calls, and is to be compared.
    writeFileSync(at('let'), '2');
    const words = ['image', 'publish', '--tree', here(), '--private-dir', here('private/os/demo')];
    const publishing = execFile(tetherfsCommand, [
      ...words,
      '--ssh-config',
      at('ssh config'),
      'demo',
      '--to',
      `m2:${there()}`,
    ]);
    const ended = new Promise((resolve) => publishing.on('exit', resolve));
    await waitUntil('it has copied', () => existsSync(at('waits')));
    const staging = readdirSync(there1()).find((name) => name.startsWith('.publish-')) ?? '';
    expect(readdirSync(there1(staging))).toContain(`rootimg-${second.slice(7)}.sfs`);
    publishing.kill('SIGKILL');
    await ended;
    rmSync(at('let'));
    expect(readdirSync(there1()).filter((name) => !name.startsWith('.publish-'))).toEqual(before);
    expect(toM2()).toMatchObject({ status: 0, stdout: `m2:${there()}: has demo, ${second}\n` });
    // What it has left there is removed by one that comes a day later.
    expect(differences('private')).toMatch(/^(Only in .*: \.publish-[0-9a-f-]+\n)?$/);
    for (const kind of ['public', 'private'])
      for (const name of readdirSync(there(kind, 'os/demo')))
        if (name.startsWith('.publish-')) execFileSync('touch', ['-d', '3 days ago', there(kind, 'os/demo', name)]);
    toM2();
    expect(differences('private')).toBe('');
  });

  it('what cannot be published is said in a line, and so is a member that makes no sense', () => {
    for (const [words, line] of [
      [['demo'], /^tetherfs: name the members: --to/],
      [['other', '--to', 'm2'], /public\/os\/other has no rootimg\.sfs: name a profile/],
      [['demo', '--to', 'm2:relative'], /--to m2:relative: relative is no absolute path/],
      [['demo', '--to', '-oProxyCommand=x'], /--to -oProxyCommand=x: give \[USER@\]HOST/],
      [['demo', '--to', 'a b'], /--to a b: give \[USER@\]HOST/],
    ] as const) {
      const { status, stderr } = publish(...words);
      expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringMatching(line) });
    }
    truncateSync(here('private/os/demo/pending/rootimg.key'));
    for (const name of readdirSync(here('private/os/demo/pending'))) rmSync(here('private/os/demo/pending', name));
    expect(toM2()).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/there is no key of .*: give --private-dir/),
    });
  });
});

describe('a member is', () => {
  it.each([
    ['m2', { login: 'm2', tree: '/var/lib/confluent' }],
    ['root@10.0.0.2:/srv/x', { login: 'root@10.0.0.2', tree: '/srv/x' }],
    ['[fe80::1%eth0]', { login: 'fe80::1%eth0', tree: '/var/lib/confluent' }],
    ['joe@[fd00::2]:/srv', { login: 'joe@fd00::2', tree: '/srv' }],
  ])('%s', (given, meant) => {
    expect(parseRemoteMember(given)).toEqual(meant);
  });
});
