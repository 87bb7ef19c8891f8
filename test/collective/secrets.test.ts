/** No secret is in the words or the environment of an external program. Every one of them runs through a recorder here. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RunProgram, runProgram } from '../../src/base/program.ts';
import { Authorities } from '../../src/collective/authorities.ts';
import { loadMasterKey } from '../../src/collective/authority/secrets.ts';
import { SshAuthority } from '../../src/collective/authority/ssh.ts';
import { CryptTexts } from '../../src/collective/crypt-text.ts';
import { Grants } from '../../src/collective/grants.ts';
import { Nodes } from '../../src/collective/nodes.ts';
import { preparePlaces } from '../../src/collective/places.ts';
import { Playbooks } from '../../src/collective/playbooks.ts';
import { Profiles } from '../../src/collective/profiles.ts';
import { type Member, startMember } from '../../src/collective/run.ts';
import { SqliteStore } from '../../src/collective/store/sqlite.ts';
import { SyncFiles } from '../../src/collective/sync-files.ts';
import { toolRunner } from '../../src/collective/tools.ts';
import { parseDigest } from '../../src/image/digest.ts';
import { publishTo } from '../../src/imgutil/publish-profile.ts';
import { visit } from '../../src/imgutil/remote-member.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

const temp = makeTempDir('secrets');
const places = { state: join(temp.path, 'state'), tree: join(temp.path, 'tree'), scratch: join(temp.path, 'scratch') };
/** All that programs were given and others can read. */
const seen: string[] = [];
const programs = new Set<string>();
const run = toolRunner((program, words, options) => {
  programs.add(program);
  seen.push([program, ...words, ...Object.entries(options.env ?? {}).flat()].join('\n'));
  return runProgram(program, words, options);
});

let member: Member;
beforeAll(async () => {
  preparePlaces(places, { uid: 0, gid: 0 });
  const options = {
    places,
    names: [],
    addresses: ['127.0.0.1'],
    httpsPort: 8443,
    httpPort: 0,
    grants: false,
    discovery: false,
  };
  const log = { error() {}, warn() {}, info() {}, debug() {} };
  member = await startMember({ options, log, run });
});
afterAll(async () => {
  await member?.close();
  temp.remove();
});

/** Base64 lines of a key in PEM. */
const linesOf = (pem: string) => pem.split('\n').filter((line) => line.length > 40 && !line.startsWith('-'));

const imageKey = '0123456789abcdef'.repeat(4);

/** What works in nodes: nobody is there, and what programs are given is seen all the same. */
async function intoANode(authorities: Authorities): Promise<void> {
  const profiles = new Profiles(places.tree);
  const directory = profiles.publicDirectory('demo');
  mkdirSync(join(directory, 'ansible/onboot.d'), { recursive: true });
  writeFileSync(join(directory, 'ansible/onboot.d/x.yaml'), '- hosts: all\n');
  writeFileSync(join(directory, 'syncfiles'), `${join(directory, 'syncfiles')} -> /etc/x\n`);
  const knownHosts = async () =>
    (await authorities.list('ssh')).map(({ shown }) => `@cert-authority * ${shown}`).join('');
  const log = { error() {}, warn() {}, info() {}, debug() {} };
  const parts = {
    profiles,
    run,
    scratch: places.scratch,
    automationKey: join(places.state, 'automation'),
    knownHosts,
    log,
  };
  const asked = { node: 'n1', profile: 'demo', to: '127.0.0.99' };
  const [files, playbooks] = [new SyncFiles(parts), new Playbooks(parts)];
  await files.start(asked);
  await playbooks.start({ ...asked, category: 'onboot.d' });
  await waitUntil('the files have failed', () => files.state('n1')?.kind === 'failed');
  // Its words once more, and then none.
  await waitUntil('the playbooks are over', async () => (await playbooks.state('n1')) === undefined);
}

/** An image's key to another member. */
async function toAMember(): Promise<void> {
  mkdirSync(join(places.tree, 'private/os/demo/pending'), { recursive: true });
  writeFileSync(join(places.tree, 'private/os/demo/pending/rootimg.key'), `aes-xts-plain64\n${imageKey}\n`);
  const profile = {
    name: 'demo',
    publicDir: join(places.tree, 'public/os/demo'),
    privateDir: join(places.tree, 'private/os/demo'),
    digest: parseDigest('ab'.repeat(32)),
  };
  const there = { login: 'root@127.0.0.99', tree: '/nowhere' };
  const recorded: RunProgram = (program, words, options) => run(program, words, { ...options, package: program });
  await visit(there, { run: recorded }, (way) => publishTo(profile, there, way)).catch(() => {});
}

it('a secret that is put there is found: the recorder sees what others could', async () => {
  const planted = 'planted-secret-of-this-test';
  await run('true', [planted], { package: 'coreutils' });
  expect(seen.join('\n')).toContain(planted);
});

it('none of those that there are is: keys of authorities and members, tokens, passwords, keys of nodes', async () => {
  const store = new SqliteStore(join(places.state, 'collective.sqlite'));
  const masterKey = loadMasterKey(places.state, false);
  const ssh = new SshAuthority({ run, scratch: places.scratch });
  const authorities = new Authorities({ store, masterKey, ssh });
  await new Nodes(store).add(['n1'], {});
  const tokens = await new Grants(store, masterKey).arm(['n1'], { kind: 'once' }, 'test', true);
  const key =
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(temp.path, 'host')]) &&
    readFileSync(join(temp.path, 'host.pub'), 'utf8');
  const pair = await authorities.ssh();
  await ssh.sign(pair, key, { node: 'n1', principals: ['n1'], serial: 1 });
  await ssh.revocationList([pair.publicKey], [1], 1);
  await authorities.rotate('ssh', 'site');
  await authorities.rotate('tls', 'site');
  const texts = new CryptTexts();
  const password = 'a-password-of-root';
  const nodeKey = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ01234.';
  await texts.make(password);
  expect(
    await texts.isOf(
      execFileSync('openssl', ['passwd', '-5', '-stdin'], { input: `${nodeKey}\n`, encoding: 'utf8' }).trim(),
      nodeKey,
    ),
  ).toBe(true);
  await intoANode(authorities);
  await toAMember();
  const secrets = [
    imageKey,
    ...linesOf(pair.privateKey),
    ...linesOf((await authorities.ssh()).privateKey),
    ...linesOf((await authorities.tls()).key),
    ...linesOf(readFileSync(join(places.state, 'member.key'), 'utf8')),
    ...linesOf(readFileSync(join(places.state, 'automation'), 'utf8')),
    readFileSync(join(places.state, 'master.key'), 'utf8').trim(),
    ...tokens.values(),
    password,
    nodeKey,
  ];
  expect(secrets.length).toBeGreaterThan(12);
  const all = seen.join('\n');
  expect(secrets.filter((secret) => all.includes(secret))).toEqual([]);
  expect([...programs].sort()).toEqual(['ansible-playbook', 'openssl', 'rsync', 'ssh', 'ssh-keygen', 'true']);
  // Nor in the store, as it lies on the disk.
  await store.close();
  const disk = ['collective.sqlite', 'collective.sqlite-wal']
    .map((name) => readFileSync(join(places.state, name), 'latin1'))
    .join('');
  const kept = secrets.slice(0, -2).filter((secret) => disk.includes(secret));
  expect(kept).toEqual([]);
});
