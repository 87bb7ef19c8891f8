/** Members that answer, and make no sense: the next one is asked, whatever it was; nothing of theirs gets into the node. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeSshKey } from '../../src/protocol/ssh-key.ts';
import { SoftwareTpm } from '../support/swtpm.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { memberAddress, Neighbours, netns, otherMember } from './neighbours.ts';
import { OddMember } from './odd-member.ts';

let neighbours: Neighbours;
let key: string;
/** Asked in this order. */
const both = [otherMember, memberAddress];
const page = '<html>\n<body style="a: b">It works</body>\n</html>\n';
const imageKey = `aes-xts-plain64\n${'5a'.repeat(32)}\n`;

beforeAll(async () => {
  neighbours = await Neighbours.make('--listen', memberAddress, '--listen', '127.0.0.1', '--no-discovery');
  await neighbours.member.cli('node', 'arm', 'n1', 'once');
  ({ key } = await neighbours.asNode<{ key: string }>('enrol', { members: [memberAddress] }));
});
afterAll(() => neighbours?.[Symbol.asyncDispose]());

const odd = (answer: RequestListener) => OddMember.start(neighbours.member.state, otherMember, answer);

interface Answer {
  member: string;
  kind: string;
  why?: string;
}
const ask = (words: object = {}) =>
  neighbours.asNode<Answer[]>('ask', { members: both, key, route: 'myattribs', ...words });

describe('an answer', () => {
  it.each<[string, RequestListener, RegExp]>([
    ['that is too large', (_, response) => response.end(Buffer.alloc(2 << 20)), /^more than 1048576 bytes$/],
    [
      'whose end nobody could tell from a cut',
      (_, response) => {
        response.useChunkedEncodingByDefault = false;
        response.shouldKeepAlive = false;
        response.removeHeader('transfer-encoding');
        response.end('half');
      },
      /^it does not say how long its answer is$/,
    ],
  ])('%s is invalid, and the next member is asked', async (_, answer, why) => {
    await using _odd = await odd(answer);
    expect(await ask()).toEqual([
      expect.objectContaining({ member: otherMember, kind: 'invalid', why: expect.stringMatching(why) }),
      expect.objectContaining({ member: memberAddress, kind: 'ok' }),
    ]);
  });

  it('that comes drop by drop is not waited for', async () => {
    await using _odd = await odd((_, response) => {
      response.writeHead(200, { 'Content-Length': 1_000_000 });
      const drops = setInterval(() => response.write('x'), 50);
      response.on('close', () => clearInterval(drops));
    });
    // Long enough for the one that answers, however busy this machine is: the other never ends.
    expect(await ask({ wholeMs: 8_000 })).toEqual([
      { member: otherMember, kind: 'unreachable', why: 'no answer in time' },
      expect.objectContaining({ member: memberAddress, kind: 'ok' }),
    ]);
  });
});

describe('what a node is to be', () => {
  it.each([page, '{}', 'profile: ['])('is asked of the next member after %j', async (body) => {
    await using tpm = await SoftwareTpm.start(netns);
    const enrol = (members: string[]) =>
      neighbours.asNode<{ key: string; said: string[] }>('enrol', { members }, { env: tpm.environment });
    await neighbours.member.cli('node', 'arm', 'n1', 'once');
    const { key: granted } = await enrol([memberAddress]);
    key = granted;
    await tpm.restart();
    await using member = await odd((_, response) => response.end(body));
    const { key: used, said } = await enrol(both);
    expect(used).toBe(granted);
    expect(said.join('\n')).not.toMatch(/trying again/);
    expect(member.asked).toContain('GET /confluent-api/self/deploycfg2');
  });
});

describe('the key of the image', () => {
  const image = (members: string[]) =>
    neighbours.asNode<{ keyFile?: string; said: string[] }>('image', { members, key });

  it('is asked of the next member, when the first one’s is none', async () => {
    neighbours.member.profile('demo', { 'private/pending/rootimg.key': imageKey });
    await using _odd = await odd((_, response) => response.end(page));
    const { keyFile = '' } = await image(both);
    expect(readFileSync(keyFile, 'utf8')).toBe(imageKey);
  });

  it('is none, when a member says so, whoever is away', async () => {
    rmSync(join(neighbours.member.tree, 'private/os/demo/pending/rootimg.key'));
    expect(await image([memberAddress, '10.7.0.99'])).toMatchObject({ keyFile: null, said: [] });
  });
});

/** Of an image that can do without everything. */
function makeRoot(): TempDir {
  const root = makeTempDir('odd-root');
  for (const path of ['etc/ssh', 'root', 'usr/sbin']) mkdirSync(join(root.path, path), { recursive: true });
  writeFileSync(join(root.path, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(join(root.path, 'usr/sbin/sshd'), '');
  return root;
}

it('who may log in is taken from a member that names machines, not from one that says: everybody', async () => {
  const root = makeRoot();
  try {
    await using other = await odd(({ url }, response) => {
      response.statusCode = url?.endsWith('nodelist') === true ? 200 : 500;
      response.end('+ +\n');
    });
    await neighbours.asNode('identity', { root: root.path, members: both, key });
    expect(other.asked).toContain('GET /confluent-api/self/nodelist');
    expect(readFileSync(join(root.path, 'root/.shosts'), 'utf8')).toMatch(/^(?:[\w.:-]+\n)+$/);
  } finally {
    root.remove();
  }
});

it('a certificate for another key is none, whoever has signed it', async () => {
  const root = makeRoot();
  try {
    const body = makeSshKey('another').publicKey;
    const { body: certificate } = await neighbours.member.ask('sshcert', 'n1', key, { method: 'POST', body });
    expect(certificate).toMatch(/^ssh-ed25519-cert-v01@openssh\.com /);
    await using other = await odd(({ url }, response) => {
      response.statusCode = url?.endsWith('sshcert') === true ? 200 : 500;
      response.end(certificate);
    });
    const { identity } = await neighbours.asNode<{ identity: object }>('identity', {
      ...{ root: root.path, members: both, key },
    });
    expect(other.asked).toContain('POST /confluent-api/self/sshcert');
    expect(identity).toMatchObject({ certificate: expect.any(String) });
    const print = (file: string) =>
      execFileSync('ssh-keygen', ['-l', '-f', join(root.path, file)], { encoding: 'utf8' }).split(' ')[1];
    expect(print('etc/ssh/ssh_host_ed25519_key-cert.pub')).toBe(print('etc/ssh/ssh_host_ed25519_key.pub'));
  } finally {
    root.remove();
  }
});
