/** What a member does in a node, at its own request: files by rsync over ssh into a real sshd, which shows a certificate of the site's. */
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemberServer } from '../support/member.ts';
import type { ServerProgram } from '../support/server-program.ts';
import { startSshd } from '../support/sshd.ts';
import { waitUntil } from '../support/wait-until.ts';
import { isLong } from './scale.ts';

const run = promisify(execFile);
const address = '127.0.0.9';
/** Where the node's files go: the sandbox's own /run. */
const target = '/run/node-root';

let member: MemberServer;
let key: string;
let sshd: ServerProgram;
beforeAll(async () => {
  member = await MemberServer.start();
  member.profile('demo', { 'profile.yaml': 'label: Demo\n' });
  key = await member.nodeWithKey('n1', `net.ipv4_address=${address}`, 'deployment.pendingprofile=demo');
  mkdirSync(target);
  const host = member.path('host');
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', host]);
  const { body } = await member.ask('sshcert', 'n1', key, {
    method: 'POST',
    body: readFileSync(`${host}.pub`, 'utf8'),
  });
  writeFileSync(`${host}-cert.pub`, body);
  sshd = await nodeSshd(host, `${host}-cert.pub`);
});
afterAll(async () => {
  await sshd?.[Symbol.asyncDispose]();
  await member?.[Symbol.asyncDispose]();
  execFileSync('rm', ['-rf', target, '/run/sshd']);
});

/** As a node has it: with the site's keys for root, from its archive. */
function nodeSshd(hostKey: string, certificate?: string): Promise<ServerProgram> {
  const authorizedKeys = member.path('authorized_keys');
  writeFileSync(authorizedKeys, readFileSync(join(member.state, 'automation.pub')));
  chmodSync(authorizedKeys, 0o600);
  return startSshd({ address, hostKey, certificate, authorizedKeys });
}

async function sync(
  question: object = { merge: `${target}/merge`, appendonce: `${target}/append`, myips: ['10.66.0.1', address] },
) {
  const started = await member.ask('remotesyncfiles', 'n1', key, { method: 'POST', body: JSON.stringify(question) });
  if (started.status !== 202) return started;
  return waitUntil('it has ended', async () => {
    const state = await member.ask('remotesyncfiles', 'n1', key);
    return state.body !== '""' && state;
  });
}

/** The profile's list, and files that it names. */
function syncfiles(list: string, files: Record<string, string> = {}): void {
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(member.path(name), text);
    chmodSync(member.path(name), 0o640);
    execFileSync('chgrp', ['www-data', member.path(name)]);
  }
  member.profile('demo', { syncfiles: list });
}

describe('syncfiles', () => {
  it('arrive in the node: as they are called, elsewhere, into a directory, in sections; with what they are to be said to the node', async () => {
    const [a, b, passwd] = [member.path('a.conf'), member.path('b.conf'), member.path('passwd')];
    syncfiles(
      `# what a node gets
${a} -> ${target}/etc/renamed.conf (owner=root,group=adm,permissions=0600)
${a} ${b} -> ${target}/etc/several/
${b} -> n2:${target}/etc/not-for-n1
${b} -> n[1-3]:${target}/etc/for-n1
MERGE:
${passwd} -> /etc/passwd
APPENDONCE:
${b} -> /etc/hosts
`,
      { 'a.conf': 'A\n', 'b.conf': 'B\n', passwd: 'joe:x:1000:\n' },
    );
    const { status, body } = await sync();
    expect([status, body]).toEqual([200, expect.any(String)]);
    const { options, output } = JSON.parse(body) as { options: Record<string, unknown>; output: string };
    expect(readFileSync(`${target}/etc/renamed.conf`, 'utf8')).toBe('A\n');
    expect(readFileSync(`${target}/etc/several/b.conf`, 'utf8')).toBe('B\n');
    expect(readFileSync(`${target}/etc/for-n1`, 'utf8')).toBe('B\n');
    expect(existsSync(`${target}/etc/not-for-n1`)).toBe(false);
    expect(readFileSync(`${target}/merge/etc/passwd`, 'utf8')).toBe('joe:x:1000:\n');
    expect(readFileSync(`${target}/append/etc/hosts`, 'utf8')).toBe('B\n');
    expect(output).toContain('etc/renamed.conf');
    expect(options[`${target}/etc/renamed.conf`]).toEqual({
      owner: { name: 'root' },
      group: { name: 'adm' },
      permissions: '0600',
    });
    // What a directory on the way is like stays the node's business.
    expect(statSync(target).mode & 0o777).toBe(0o755);
    // Told once.
    expect((await member.ask('remotesyncfiles', 'n1', key)).status).toBe(204);
  });

  it('a node that names a place of its own has nothing of the member’s written or shown', async () => {
    member.profile('demo', { 'files/a': 'public', 'private/shadow': 'root:secret' });
    const files = join(member.tree, 'public/os/demo/files');
    syncfiles(
      `${files} -> ${target}/opt/files\nMERGE:\n${join(member.tree, 'private/os/demo/shadow')} -> /etc/shadow\n`,
    );
    const { status, body } = await sync({ merge: `${target}/opt/files`, myips: [address] });
    expect([status, body]).toEqual([
      500,
      expect.stringMatching(/would lie in .*opt\/files, which is a file of the list itself/),
    ]);
    expect(existsSync(join(files, 'etc'))).toBe(false);
  });

  it('a directory arrives with what is in it', async () => {
    member.profile('demo', { 'files/a': 'A', 'files/sub/b': 'B' });
    syncfiles(`${join(member.tree, 'public/os/demo/files')} -> ${target}/opt/files\n`);
    expect((await sync()).status).toBe(200);
    expect(readFileSync(`${target}/opt/files/sub/b`, 'utf8')).toBe('B');
  });

  it('a list without entries is nothing to do', async () => {
    syncfiles('# nothing yet\n');
    expect(await sync()).toMatchObject({ status: 200, body: 'Empty synclist' });
  });

  it.each([
    ['a file that is not there', () => `/nonexistent -> ${target}/x`, /there is no file \/nonexistent/],
    ['a line that makes no sense', () => `${member.path('a.conf')} -> -> x`, /syncfiles, line 1: SOURCE -> TARGET/],
    ['a section that there is not', () => 'REMOVE:', /line 1: REMOVE: is no section/],
    ['an option that there is not', () => `${member.path('a.conf')} (mode=1)`, /line 1: \(mode=1\)/],
    [
      'a file of somebody else',
      () => `/etc/shadow -> ${target}/shadow`,
      /\/etc\/shadow cannot be read by www-data, as/,
    ],
    [
      'a file where only somebody else gets at it',
      () => {
        mkdirSync(member.path('closed'), { mode: 0o700, recursive: true });
        writeFileSync(member.path('closed/file'), '');
        return `${member.path('closed/file')} -> ${target}/x`;
      },
      /closed\/file cannot be read by www-data/,
    ],
  ])('%s: the node is told in a line', async (_what, list, words) => {
    syncfiles(`${list()}\n`);
    const { status, body } = await sync();
    expect(status).toBeGreaterThanOrEqual(400);
    expect(body).toMatch(words);
  });

  it('go to the node’s own addresses alone, whatever it says', async () => {
    syncfiles(`${member.path('a.conf')} -> ${target}/stolen\n`);
    // 127.0.0.10 is another machine's: none of those that the node has, and not where it asks from.
    const { body } = await sync({ myips: ['127.0.0.10'] });
    expect(body).toMatch(/error/);
    expect(existsSync(`${target}/stolen`)).toBe(false);
    for (const place of ['../../etc', '/tmp/../../etc'])
      expect((await sync({ merge: place, myips: [address] })).body).not.toContain('options":{"../');
  });

  it('not to a host that shows no certificate of the site’s', async () => {
    await sshd[Symbol.asyncDispose]();
    const other = member.path('other');
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', other]);
    sshd = await nodeSshd(other);
    syncfiles(`${member.path('a.conf')} -> ${target}/to-a-stranger\n`);
    const { status, body } = await sync();
    expect([status, body]).toEqual([
      500,
      expect.stringMatching(/Host key verification failed|no .*host key is known/i),
    ]);
    expect(existsSync(`${target}/to-a-stranger`)).toBe(false);
  });
});

it.each([
  ['scripts', 'scriptlist/onboot.d', 'GET'],
  ['ansible', 'remoteconfig/onboot.d', 'POST'],
])('%s that the member may not look at are not none', async (kind, route, method) => {
  member.profile('demo', { [`${kind}/onboot.d/10-first.yaml`]: '' });
  const directory = join(member.tree, 'public/os/demo', kind);
  execFileSync('chown', ['root', directory]);
  chmodSync(directory, 0o700);
  const { status, body } = await member.ask(route, 'n1', key, method === 'POST' ? { method, body: '{}' } : {});
  expect({ status, body }).toEqual({ status: 500, body: expect.stringMatching(/onboot.* cannot be read by www-data/) });
  execFileSync('rm', ['-r', directory]);
});

it('playbooks without ansible: the words say what is missing', async () => {
  member.profile('demo', { 'ansible/onboot.d/01-hello.yaml': '- hosts: all\n  tasks: []\n' });
  expect(await member.ask('remoteconfig/onboot.d', 'n1', key, { method: 'POST', body: '{}' })).toMatchObject({
    status: 202,
    body: 'Queued',
  });
  const words = await waitUntil('it has ended', async () => {
    const { body } = await member.ask('remoteconfig/status', 'n1', key);
    return body !== '' && body;
  });
  expect(words).toMatch(/ansible-playbook is missing: install it|PLAY/);
});

/** What came of the playbooks of a category, as upstream's client asks for it. */
async function play(category: string): Promise<string> {
  const started = await member.ask(`remoteconfig/${category}`, 'n1', key, { method: 'POST', body: '{}' });
  expect(started).toMatchObject({ status: 202, body: 'Queued' });
  let words = '';
  await waitUntil('it has ended', async () => {
    const { status, body } = await member.ask('remoteconfig/status', 'n1', key);
    if (status === 200) words = body;
    return status === 204;
  });
  return words;
}

// npm run test:collective has ansible-core.
it.runIf(isLong)(
  'playbooks are run in the node, one after the other; what ansible says goes to the node, failures too',
  async () => {
    const tasks = (...lines: string[]) =>
      `- hosts: all\n  gather_facts: false\n  tasks:\n${lines.map((line) => `    ${line}\n`).join('')}`;
    member.profile('demo', {
      'ansible/real.d/01-first.yaml': tasks(
        '- copy: {content: "by {{ ansible_user }}\\n", dest: /run/node-root/by-ansible}',
      ),
      'private/ansible/real.d/02-second.yml': tasks('- command: cp /run/node-root/by-ansible /run/node-root/second'),
      'ansible/broken.d/01-broken.yaml': tasks('- command: /bin/false'),
      'ansible/broken.d/02-never.yaml': tasks('- command: touch /run/node-root/never'),
    });
    await sshd[Symbol.asyncDispose]();
    sshd = await nodeSshd(member.path('host'), `${member.path('host')}-cert.pub`);
    expect(await play('real')).toMatch(/PLAY \[all\][\s\S]*n1\s+: ok=1[\s\S]*n1\s+: ok=1/);
    expect(readFileSync(`${target}/second`, 'utf8')).toBe('by root\n');
    expect(await play('broken')).toMatch(/fatal: \[n1\]: FAILED![\s\S]*ansible-playbook: /);
    expect(existsSync(`${target}/never`)).toBe(false);
  },
);
