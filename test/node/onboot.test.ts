/** What a node does once it has booted: by a real member, that logs in by a real sshd; and by scripts that write down what they see. */
import { chmodSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checkoutCommand } from '../support/daemon.ts';
import type { ServerProgram } from '../support/server-program.ts';
import { waitUntil } from '../support/wait-until.ts';
import { memberAddress, Neighbours } from './neighbours.ts';
import { NodeRoot } from './node-root.ts';

let neighbours: Neighbours;
let root: NodeRoot;
let sshd: ServerProgram | undefined;

/** Writes down who runs it: once, in order. */
const says = (word: string) => `#!/bin/sh\necho "${word} $nodename $confluent_mgr $confluent_profile" >>/order\n`;

interface Onboot {
  state: string;
  certificate?: string;
  steps: { name: string; failed?: string }[];
}

/** What came of it, as the node has it. */
const record = () => JSON.parse(root.text('/run/tetherfs/onboot.json') ?? '{}') as Onboot;
const steps = () => record().steps.map(({ name, failed }) => (failed === undefined ? name : `${name}: ${failed}`));

/** What the members know of how far it has come. */
async function reported(): Promise<Record<string, string>> {
  const shown = JSON.parse(await neighbours.member.cli('node', 'show', 'n1', '--json')) as object;
  const [node] = Array.isArray(shown) ? shown : [shown];
  return node.attributes ?? node;
}

/** A file of the member's, for its syncfiles. */
function given(name: string, text: string): string {
  const path = neighbours.member.path(name);
  writeFileSync(path, text);
  chmodSync(path, 0o644);
  return path;
}

/** As the initramfs has left it. */
async function boot(): Promise<void> {
  await neighbours.member.cli('node', 'arm', 'n1', 'once');
  const { identity } = await neighbours.asNode<{ identity: { certificate?: string } }>('identity', { root: root.path });
  const told = { method: 'uncompressed', members: [], membersGiven: false, decryption: 'none', lacks: [], steps: [] };
  root.write('/run/tetherfs/boot.json', JSON.stringify({ ...told, identity }), 0o600);
}

beforeAll(async () => {
  neighbours = await Neighbours.make();
  root = new NodeRoot();
  await neighbours.member.cli('node', 'set', 'n1', 'timezone=Europe/Berlin', 'ntp.servers=10.7.0.1');
  await boot();
  sshd = await root.sshd();
});
afterAll(async () => {
  await sshd?.[Symbol.asyncDispose]();
  root?.[Symbol.dispose]();
  await neighbours?.[Symbol.asyncDispose]();
});

it('of a profile without scripts and files: it says that it has booted', async () => {
  expect(await root.tetherfs('node', 'onboot')).toMatchObject({
    status: 0,
    stdout: '',
    stderr: expect.stringMatching(/^tetherfs: booted, \d+\.\d s after the kernel started: files .*, report .*\n$/),
  });
  expect(record()).toMatchObject({ state: 'booted' });
  expect(steps()).toEqual(['files', 'scripts', 'playbooks', 'report']);
  expect(await reported()).toMatchObject({ 'deployment.state': 'booted', 'deployment.profile': 'demo' });
});

it('files of the site come, are merged, appended once, and belong to whom they should', async () => {
  root.write(
    '/etc/passwd',
    'root:x:0:0:root:/root:/bin/sh\nold:x:1500:1500:::\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n',
  );
  root.write('/etc/shadow', 'root:*:1::::::\nold:$6$x$y:1::::::\nsshd:*:1::::::\n', 0o640);
  root.write('/etc/group', 'root:x:0:\nadm:x:4:\nold:x:1500:\n');
  root.write('/etc/hosts', '127.0.0.1 localhost\n10.7.0.5 n1\n10.7.0.9 oldname other\n');
  root.write('/etc/motd', 'of the image\n');
  const [passwd, group] = [
    given('passwd', 'root:x:0:0::/evil:/bin/sh\njoe:x:1000:1000:Joe:/home/joe:/bin/sh\n'),
    given('group', 'joe:x:1000:\n'),
  ];
  const hosts = given('hosts', '10.7.0.9 newname # of the site\n10.7.0.1 member\n');
  const [motd, tool] = [given('motd', 'of the site\n'), given('tool', '#!/bin/sh\n')];
  neighbours.member.profile('demo', {
    syncfiles: `${tool} -> /opt/tool (owner=joe,group=adm,permissions=4750)
MERGE:
${passwd} -> /etc/passwd
${group} -> /etc/group
${hosts} -> /etc/hosts
APPENDONCE:
${motd} -> /etc/motd
`,
  });
  for (const round of [1, 2])
    expect([round, (await root.tetherfs('node', 'onboot')).stderr]).toEqual([
      round,
      expect.stringMatching(/^tetherfs: booted/),
    ]);
  expect(root.text('/etc/passwd')).toBe(
    'root:x:0:0:root:/root:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\njoe:x:1000:1000:Joe:/home/joe:/bin/sh\n',
  );
  expect(root.text('/etc/shadow')).toBe('root:*:1::::::\nsshd:*:1::::::\njoe:!:::::::\n');
  expect(statSync(root.at('/etc/shadow')).mode & 0o777).toBe(0o640);
  expect(root.text('/etc/group')).toBe('root:x:0:\nadm:x:4:\njoe:x:1000:\n');
  expect(root.text('/etc/hosts')).toBe(
    '127.0.0.1 localhost\n10.7.0.5 n1\n10.7.0.9 newname # of the site\n10.7.0.1 member\n',
  );
  expect(root.text('/etc/motd')).toBe('of the image\nof the site\n');
  const { mode, uid, gid } = statSync(root.at('/opt/tool'));
  expect({ mode: mode & 0o7777, uid, gid }).toEqual({ mode: 0o4750, uid: 1000, gid: 4 });
});

it('the site’s own steps are run, then the scripts of the profile, in order; each sees who it is', async () => {
  neighbours.member.profile('demo', {
    syncfiles: `${given('synced', says('synced'))} -> /etc/tetherfs/node.d/20-synced (permissions=755)\n`,
    'scripts/onboot.custom': says('custom'),
    'scripts/onboot.d/10-second': says('second'),
    'scripts/onboot.d/9-first.sh': '[ "$0" = ./onboot.d/9-first.sh ] || exit 9\necho first >>/order\n',
  });
  root.write('/etc/tetherfs/node.d/10-own', says('own'), 0o755);
  root.write('/etc/tetherfs/node.d/README.md', 'for people');
  root.write('/etc/tetherfs/node.d/15-forgotten', says('forgotten'));
  const { status, stderr } = await root.tetherfs('node', 'onboot');
  expect(status).toBe(0);
  expect(stderr).toMatch(
    /^tetherfs: \/etc\/tetherfs\/node\.d\/15-forgotten is passed over: it is not executable \(chmod \+x\)\ntetherfs: booted/,
  );
  const who = `n1 ${memberAddress} demo`;
  expect(root.text('/order')).toBe(`own ${who}\nsynced ${who}\ncustom ${who}\nfirst\nsecond ${who}\n`);
  expect(steps()).toEqual([
    'files',
    'node.d/10-own',
    'node.d/20-synced',
    'scripts',
    'onboot.custom',
    'onboot.d/9-first.sh',
    'onboot.d/10-second',
    'playbooks',
    'report',
  ]);
  expect(readdirSync(root.at('/opt/confluent/tmpexec'))).toEqual([]);
});

it('what fails is named, everywhere, and the others are done all the same', async () => {
  neighbours.member.profile('demo', {
    syncfiles: '/nonexistent -> /x\n',
    'scripts/onboot.custom': '#!/bin/sh\nexit 0\n',
    'scripts/onboot.d/9-first.sh': '#!/bin/sh\necho to the journal; exit 3\n',
    'scripts/onboot.d/10-second': '#!/nonexistent/shell\n',
    'scripts/onboot.d/11-third': '#!/bin/sh\nkill -9 $$\n',
    'ansible/onboot.d/01.yaml': '- hosts: all\n  tasks: []\n',
  });
  const { status, stdout, stderr } = await root.tetherfs('node', 'onboot');
  expect(status).toBe(1);
  const failures = {
    files: /there is no file \/nonexistent$/,
    'onboot.d/9-first.sh': /^exit status 3$/,
    'onboot.d/10-second': /ENOENT|no such file/,
    'onboot.d/11-third': /^killed by SIGKILL/,
    playbooks: /^a playbook has failed: what ansible said is in the journal$/,
  };
  const failed = record().steps.filter((step) => step.failed !== undefined);
  expect(Object.fromEntries(failed.map((step) => [step.name, step.failed]))).toEqual(
    Object.fromEntries(Object.entries(failures).map(([name, words]) => [name, expect.stringMatching(words)])),
  );
  for (const { name, failed: why } of failed) expect(stderr).toContain(`tetherfs: ${name}: ${why}\n`);
  expect(stderr).toMatch(
    /tetherfs: this node has booted, but not all is as it should be: files, .*, playbooks failed\n$/,
  );
  expect(stdout).toMatch(/^to the journal\n[\s\S]*ansible-playbook is missing/);
  expect(record().state).toBe('failed');
  expect(await reported()).toMatchObject({
    'deployment.state': 'booted',
    'deployment.state_detail': `failed: ${Object.keys(failures).join(', ')}`,
  });
  const shown = await root.tetherfs('node', 'status');
  expect(shown).toMatchObject({ status: 0, stderr: '' });
  expect(shown.stdout).toMatch(/^n1: demo, uncompressed, /);
  expect(shown.stdout).toMatch(/^ {2}FAILED +onboot\.d\/9-first\.sh: exit status 3$/m);
  expect(await root.tetherfs('node', 'members')).toEqual({
    status: 0,
    stdout: '',
    stderr: 'tetherfs: nothing to do: the image of this node was unpacked: nothing comes from members any more\n',
  });
  const json = JSON.parse((await root.tetherfs('node', 'status', '--json')).stdout);
  expect(json).toMatchObject({ boot: { identity: { node: 'n1' } }, onboot: record(), mount: null });
});

it('members that are away are waited for: what they are wanted for is said', async () => {
  rmSync(join(neighbours.member.tree, 'public/os/demo/ansible'), { recursive: true });
  neighbours.member.profile('demo', { syncfiles: '' });
  for (const name of ['9-first.sh', '10-second', '11-third'])
    neighbours.member.profile('demo', { [`scripts/onboot.d/${name}`]: '#!/bin/sh\n' });
  const { member } = neighbours;
  await member.end();
  let said = '';
  const ended = root.run([checkoutCommand, 'node', 'onboot'], (text) => {
    said += text;
  });
  await waitUntil('it waits', () => said.includes('; trying again in '));
  const { stdout } = await root.tetherfs('node', 'status');
  expect(stdout).toMatch(/^ {2}image +not verified, in clear$/m);
  expect(stdout).toMatch(/^ {2}then +now: files$/m);
  await member.run();
  const { stderr } = await ended;
  expect(stderr).toMatch(
    /^tetherfs: files: no member can be reached \(fe80::.*%v1: unreachable, connection refused; 10\.7\.0\.\d: unreachable, .*\); trying again in \d\.\d s\n/,
  );
  expect(steps().slice(0, 3)).toEqual(['files', 'node.d/10-own', 'node.d/20-synced']);
});

it('a script asks the members as confluent’s functions do', async () => {
  root.write('/run/initramfs/tetherfs/runtime/tetherfs', `#!/bin/sh\nexec ${checkoutCommand} "$@"\n`, 0o755);
  const ask = (...words: string[]) => root.run(['python3', '/etc/confluent/apiclient', ...words]);
  neighbours.member.profile('demo', {
    'scripts/extra.d/1-one': '#!/bin/sh\n',
    'ansible/extra.d/1-one.yaml':
      '- {hosts: all, gather_facts: false, tasks: [{copy: {content: played, dest: /played}}]}\n',
  });
  expect(await ask('/confluent-api/self/scriptlist/extra.d')).toEqual({ status: 0, stdout: '- 1-one\n', stderr: '' });
  expect(await ask('/confluent-api/self/remoteconfig/extra.d', '-d', '{}')).toMatchObject({ stdout: 'Queued' });
  const { status, stdout } = await ask('/confluent-api/self/remoteconfig/status', '-w', '204');
  // What the member's ansible says, or that it has none.
  expect([status, stdout]).toEqual([0, expect.stringMatching(/PLAY RECAP|ansible-playbook is missing/)]);
  const words = /^tetherfs: no member answers well \(.*: invalid, 404 Not found; /;
  expect(await ask('/confluent-api/self/nothing')).toMatchObject({ status: 1, stderr: expect.stringMatching(words) });
  expect(await ask('/elsewhere')).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/^tetherfs: \/elsewhere: give /),
  });
});

it('a user of another node of the site logs in, by the key of that node', async () => {
  const login = (user: string) =>
    root.run(['ssh', '-o', 'BatchMode=yes', '-o', 'PreferredAuthentications=hostbased', `${user}@n1`, 'id -un']);
  expect(await login('root')).toMatchObject({ status: 0, stdout: 'root\n' });
  expect(await login('nobody')).toMatchObject({ status: 255 });
});

it('a certificate that the boot could not get is got, and shown', async () => {
  const boot = JSON.parse(root.text('/run/tetherfs/boot.json') ?? '');
  delete boot.identity.certificate;
  root.write('/run/tetherfs/boot.json', JSON.stringify(boot));
  root.write('/etc/ssh/ssh_host_ed25519_key-cert.pub', '');
  await root.tetherfs('node', 'onboot');
  expect(steps()[0]).toBe('certificate');
  expect(record().certificate).toMatch(/^\d+$/);
  expect(root.text('/etc/ssh/ssh_host_ed25519_key-cert.pub')).toMatch(/^ssh-ed25519-cert-v01@openssh\.com /);
});

it('a node that has booted without the API does its own steps, whatever lies in /etc/confluent', async () => {
  const boot = JSON.parse(root.text('/run/tetherfs/boot.json') ?? '');
  delete boot.identity;
  root.write('/run/tetherfs/boot.json', JSON.stringify(boot));
  expect(await root.tetherfs('node', 'onboot')).toMatchObject({ status: 0 });
  expect(steps()).toEqual(['node.d/10-own', 'node.d/20-synced']);
});

it('a machine that has not booted so is told, in a line', async () => {
  root.write('/run/tetherfs/boot.json', '{"version": 0}');
  const words = /^tetherfs: \/run\/tetherfs\/boot\.json is of another version of tetherfs\n$/;
  for (const command of ['onboot', 'status', 'members'])
    expect([command, await root.tetherfs('node', command)]).toEqual([
      command,
      expect.objectContaining({ status: 1, stderr: expect.stringMatching(words) }),
    ]);
});
