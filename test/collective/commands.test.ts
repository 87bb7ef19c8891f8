/** `tetherfs collective` as administrators use it: beside a member that runs, and without. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkoutCommand } from '../support/daemon.ts';
import { askForKey, MemberServer, memberUser } from '../support/member.ts';

let member: MemberServer;
beforeAll(async () => {
  member = await MemberServer.start('--name', 'm1');
});
afterAll(() => member?.[Symbol.asyncDispose]());

/** Fails: its one line. */
function complaint(...words: string[]): string {
  const { status, stderr, stdout } = spawnSync(checkoutCommand, ['collective', ...words, '--state', member.state], {
    encoding: 'utf8',
    input: '',
  });
  expect([words, status === 0, stdout]).toEqual([words, false, '']);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  return stderr;
}

describe('a mistake is one line that says what to do', () => {
  it.each([
    [['node', 'add', 'n1;rm'], /called as a host may be; several: n1,n2 or n\[1-20\]/],
    [['node', 'add'], /missing required argument/],
    [['node', 'add', 'dns.domain=x.org'], /give the name of a node/],
    [['node', 'add', 'x1', 'dns.domian=x.org'], /no such attribute; "tetherfs collective node set --help" lists them/],
    [['node', 'set', 'x9', 'dns.domain=x.org'], /there is no node x9; "tetherfs collective node list"/],
    [['node', 'set', 'x9'], /give an attribute: NAME=VALUE/],
    [['node', 'set', '--default', 'x1', 'dns.domain=x.org'], /with --default there are no nodes/],
    [
      ['node', 'add', 'x1', 'crypted.rootpassword=$6$a$b'],
      /everybody can read words of a command; give --root-password-file/,
    ],
    [['node', 'add', 'x1', '--root-password'], /no terminal to ask.*--root-password-file/],
    [['node', 'add', 'x1', '--root-password-file', '/nonexistent'], /\/nonexistent: no such file/],
    [['node', 'arm', 'x1'], /say how long, after the nodes: once, continuous/],
    [['node', 'arm', 'x1', 'sometimes'], /say how long/],
    [['node', 'arm', 'x1', '0h'], /say how long/],
    [['node', 'arm', 'x1', 'once'], /there is no node x1/],
    [['node', 'import', '/nonexistent'], /\/nonexistent: no such file/],
    [['profile', 'set', 'nothing', 'x1'], /nothing: there is no such profile/],
    [['ca', 'rm', 'ssh', 'x'], /there is no ssh authority x; "tetherfs collective ca show" lists them/],
    [['ca', 'rotate', 'gpg'], /gpg/],
    [['ca', 'revoke', '99', '--output', '/dev/null'], /no certificate has the serial 99/],
    [['ca', 'revoke', 'x', '--output', '/dev/null'], /a serial is a number from 1 on/],
    [['site', '--root-key', '/etc/hostname'], /no public ssh key/],
    [['audit', '--since', 'yesterday'], /Give a time/],
    [['backup', '/etc/hostname'], /there is one already/],
    [['restore', '/etc/hostname'], /damaged, or no backup|not a database/],
    [['run', '--https-port', 'x'], /Give a port/],
  ])('%j', (words, expected) => expect(complaint(...words)).toMatch(expected));

  it('where what is printed has no room', () => {
    const { status, stderr } = spawnSync(
      'sh',
      ['-c', '"$@" >/dev/full', 'sh', checkoutCommand, 'collective', 'node', 'list', '--state', member.state],
      { encoding: 'utf8' },
    );
    expect({ status, stderr }).toEqual({ status: 1, stderr: 'tetherfs: no space left on device\n' });
  });

  it('where there is no member, and where there is one already', () => {
    const nothing = spawnSync(checkoutCommand, ['collective', 'node', 'list', '--state', '/nonexistent'], {
      encoding: 'utf8',
    });
    expect(nothing.stderr).toMatch(
      /no member in \/nonexistent: "tetherfs collective run" makes one; --state names another place\n$/,
    );
    const places = ['--user', memberUser, '--tree', member.tree, '--scratch', member.path('scratch')];
    expect(complaint('run', ...places)).toMatch(/a member runs on .* already .*: end it first/);
    const another = spawnSync(checkoutCommand, ['collective', 'run', ...places, '--state', member.path('another')], {
      encoding: 'utf8',
    });
    expect(another.stderr).toMatch(/cannot listen on :: port 443: another program listens there/);
    expect(complaint('run', ...places, '--user', 'root')).toMatch(/--user root is root: name somebody who is not/);
    expect(complaint('run', ...places, '--user', '../x')).toMatch(/nobody can be called that/);
  });
});

it('a thousand nodes of a file, and what is shown of one', async () => {
  const lines = Array.from(
    { length: 1_000 },
    (_, number) =>
      `i${number}: net.ipv4_address: 10.9.${number >> 8}.${number & 255}/16\ni${number}: crypted.rootpassword: ********\n`,
  );
  expect(member.cliWith(lines.join(''), 'node', 'import', '-')).toBe(
    '1000 nodes, 1000 of them new; 1000 secrets were not in the file: set them here\n',
  );
  member.cliWith('a password\n', 'node', 'set', 'i7', '--root-password-file', '-', 'dns.domain=x.org');
  const shown = await member.cli('node', 'show', 'i7');
  expect(shown).toMatch(/^net\.ipv4_address +10\.9\.0\.7\/16$/m);
  expect(shown).toMatch(/^crypted\.rootpassword +\*{8}$/m);
  expect(shown).toMatch(/^armed +no$/m);
  expect((await member.cli('node', 'list')).split('\n').filter((line) => /^i\d/.test(line))).toHaveLength(1_000);
  await member.cli('node', 'rm', 'i[0-999]');
  expect(JSON.parse(await member.cli('node', 'list', '--json'))).toEqual([]);
});

it('certificates that are revoked are in the list that ssh reads', async () => {
  const key = await member.nodeWithKey('r1');
  const file = member.path('r1');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
  const body = readFileSync(`${file}.pub`, 'utf8');
  const serials: number[] = [];
  for (let count = 0; count < 2; count++) {
    const { body: certificate } = await member.ask('sshcert', 'r1', key, { method: 'POST', body });
    writeFileSync(`${file}-${count}-cert.pub`, certificate);
    serials.push(
      Number(
        /Serial: (\d+)/.exec(
          execFileSync('ssh-keygen', ['-L', '-f', `${file}-${count}-cert.pub`], { encoding: 'utf8' }),
        )?.[1],
      ),
    );
  }
  expect(serials[1]).toBe((serials[0] ?? 0) + 1);
  await member.cli('ca', 'revoke', String(serials[0]), '--output', member.path('krl'));
  const isRevoked = (count: number) =>
    spawnSync('ssh-keygen', ['-Q', '-f', member.path('krl'), `${file}-${count}-cert.pub`]).status !== 0;
  expect([isRevoked(0), isRevoked(1)]).toEqual([true, false]);
  // A mistake leaves the list as it was.
  const before = readFileSync(member.path('krl'));
  await expect(member.cli('ca', 'revoke', '77777', '--output', member.path('krl'))).rejects.toThrow(
    /no certificate has the serial 77777/,
  );
  expect(readFileSync(member.path('krl'))).toEqual(before);
  // One that another authority has signed is as good as any. A node that has not booted since keeps the old one from going.
  await member.ask('updatestatus', 'r1', key, { method: 'POST', body: 'state: booting' });
  await member.cli('ca', 'rotate', 'ssh');
  const [{ id = '' } = {}] = (
    JSON.parse(await member.cli('ca', 'show', '--json')) as { kind: string; id: string }[]
  ).filter(({ kind }) => kind === 'ssh');
  expect(complaint('ca', 'rm', 'ssh', id)).toMatch(
    /have not booted since .*: 1 \(r1\); boot them first, or say --anyway/,
  );
  await member.ask('updatestatus', 'r1', key, { method: 'POST', body: 'state: booting' });
  await member.cli('ca', 'rm', 'ssh', id);
  const { body: certificate } = await member.ask('sshcert', 'r1', key, { method: 'POST', body });
  writeFileSync(`${file}-2-cert.pub`, certificate);
  const listing = execFileSync('ssh-keygen', ['-L', '-f', `${file}-2-cert.pub`], { encoding: 'utf8' });
  const serial = Number(/Serial: (\d+)/.exec(listing)?.[1]);
  expect(serial).toBe((serials[1] ?? 0) + 1);
  await member.cli('ca', 'revoke', String(serial), '--output', member.path('krl'));
  expect([isRevoked(1), isRevoked(2)]).toEqual([false, true]);
});

it('the site archive is what an initramfs unpacks: uuid, authorities, keys of people and of the member', async () => {
  const person = member.path('person');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'a person', '-f', person]);
  member.profile('demo', { 'boot/initramfs/distribution': 'x' });
  // The member that runs does the same within seconds: whoever is first.
  const days = ['--host-certificate-days', '30'];
  await member.cli('site', '--tree', member.tree, '--root-key', `${person}.pub`, ...days);
  const into = member.path('unpacked');
  execFileSync('sh', [
    '-ec',
    `mkdir ${into}; cd ${into}; cpio -idu --quiet <${member.tree}/public/os/demo/boot/initramfs/site.cpio 2>/dev/null`,
  ]);
  const file = (name: string) => readFileSync(join(into, name), 'utf8');
  expect(file('confluent_uuid')).toMatch(/^[0-9a-f-]{36}\n$/);
  expect(file('ssh/m1.ca')).toMatch(/^ssh-ed25519 /);
  expect(file('ssh/m1.rootpubkey')).toBe(readFileSync(`${person}.pub`, 'utf8'));
  expect(file('ssh/m1.automationpubkey')).toBe(readFileSync(join(member.state, 'automation.pub'), 'utf8'));
  // OpenSSL finds the authority by its hash.
  execFileSync('openssl', ['verify', '-CApath', join(into, 'tls'), '-no-CAfile', join(member.state, 'member.pem')]);
  await member.cli('ca', 'rotate', 'ssh');
  await member.cli('site', '--tree', member.tree);
  execFileSync('sh', ['-ec', `cd ${into}; cpio -idu --quiet <${member.tree}/public/site/initramfs.cpio 2>/dev/null`]);
  expect(file('ssh/m1-2.ca')).not.toBe(file('ssh/m1.ca'));
  expect(file('ssh/m1.rootpubkey')).toBe(readFileSync(`${person}.pub`, 'utf8'));
});

it('a backup is whole while the member goes on, and brings everything back, on another machine too with the master key', async () => {
  const key = await member.nodeWithKey('b1');
  expect((await member.ask('myattribs', 'b1', key)).status).toBe(200);
  const copy = member.path('backup.sqlite');
  await member.cli('backup', copy);
  expect(statSync(copy).mode & 0o777).toBe(0o600);
  await member.cli('node', 'rm', 'b1');
  expect(complaint('restore', copy)).toMatch(/a member runs on .* already .*: end it first/);
  await member.end();
  expect(await member.cli('restore', copy)).toMatch(/^restored; what was there is collective\.sqlite\.before-/);
  await member.run();
  expect((await member.ask('myattribs', 'b1', key)).status).toBe(200);
  expect(statSync(join(member.state, 'collective.sqlite')).uid).toBe(statSync(member.state).uid);
  // On another machine: nothing is there, and root's is what root puts there.
  await member.end();
  const master = join(member.state, 'master.key');
  const masterKey = readFileSync(master);
  renameSync(member.state, member.path('state-of-before'));
  expect(await member.cli('restore', copy)).toBe('restored\n');
  writeFileSync(master, masterKey, { mode: 0o600 });
  await member.run();
  writeFileSync(member.ca, await member.cli('ca', 'export', 'tls'));
  expect((await member.ask('myattribs', 'b1', key)).status).toBe(200);
  // Without the master key it does not start, and says what is to be done.
  await member.end();
  const kept = readFileSync(master);
  rmSync(master);
  await expect(member.run()).rejects.toThrow(/the master key .*master\.key is missing: restore it from its backup/);
  expect(existsSync(master)).toBe(false);
  writeFileSync(master, `${'0'.repeat(64)}\n`, { mode: 0o600 });
  execFileSync('chown', [memberUser, master]);
  await expect(member.run()).rejects.toThrow(/sealed by another master key/);
  writeFileSync(master, kept);
  await member.run();
});

it('what is odd and yet no mistake is done, and said', () => {
  const said = (...words: string[]) => {
    const all = ['collective', ...words, '--state', member.state];
    const { status, stderr } = spawnSync(checkoutCommand, all, { encoding: 'utf8' });
    return { status, stderr };
  };
  expect(said('node', 'add', 'o1', 'deployment.pendingprofile=later')).toEqual({
    status: 0,
    stderr: `tetherfs: ${member.tree}/public/os has no profile later yet: who is to boot it waits until it has\n`,
  });
  expect(said('audit', 'n99')).toEqual({ status: 0, stderr: 'tetherfs: the audit has nothing of that\n' });
});

it('a node that was armed while the member ran, and by whom, is in its audit', async () => {
  await member.cli('node', 'add', 'a1');
  await member.cli('node', 'arm', 'a1', '2h');
  expect(await askForKey('a1')).toEqual(expect.any(String));
  const shown = await member.cli('audit', 'a1');
  // Whoever runs the tests, by name.
  expect(shown).toMatch(/a1 +node added +user [a-z]/);
  expect(shown).toMatch(/a1 +armed +user .* +\d{4}-\d\d-\d\dT[\d:]+Z$/m);
  expect(shown).toMatch(/a1 +key granted +127\.0\.0\.1/);
});
