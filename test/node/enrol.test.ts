/** A node and its members without a boot: found by discovery, a key by grant, questions that every member may answer. Members are real ones (`tetherfs collective run`), the node is a network namespace of its own. */
import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { discoveryGroups, discoveryPort, formatFound } from '../../src/protocol/discovery.ts';
import type { MemberServer } from '../support/member.ts';
import { signal } from '../support/process-tree.ts';
import { waitUntil } from '../support/wait-until.ts';
import { memberAddress, Neighbours, netns, otherMember } from './neighbours.ts';

const metricsAddress = '127.0.0.1:9420';
let neighbours: Neighbours;
let member: MemberServer;
beforeAll(async () => {
  neighbours = await Neighbours.make('--metrics', metricsAddress);
  ({ member } = neighbours);
});
afterAll(() => neighbours?.[Symbol.asyncDispose]());

const asNode = <T>(what: string, words?: object, at?: string) => neighbours.asNode<T>(what, words, { at });

interface Answer {
  member: string;
  kind: string;
  body?: string;
  why?: string;
}

describe('discovery', () => {
  it('finds the member on every way there is, and who we are', async () => {
    // Link-local addresses are confirmed some seconds after the links are up.
    const found = await waitUntil('there are two ways', async () => {
      const all = await asNode<{ address: string; node: string; isDefault: boolean }[]>('discover');
      return all.length > 1 && all;
    });
    expect(new Set(found.map(({ node }) => node))).toEqual(new Set(['n1']));
    expect(found.map(({ address }) => address)).toEqual(
      expect.arrayContaining(['10.7.0.1', expect.stringMatching(/^fe80::.*%v1$/)]),
    );
  });

  it('finds it by a machine with more devices than a question has room for', async () => {
    const many = Array.from({ length: 50 }, (_, index) => `link add many${index} type veth peer name many${index}p\n`);
    execFileSync('ip', ['-n', 'node', '-batch', '-'], { input: many.join('') });
    try {
      expect(await asNode<object[]>('discover')).toContainEqual(expect.objectContaining({ node: 'n1' }));
    } finally {
      execFileSync('ip', ['-n', 'node', '-batch', '-'], {
        input: many.map((line) => line.replace('add', 'del').replace(/ type.*/, '')).join(''),
      });
    }
  });

  it('of several networks the node’s own comes first', async () => {
    execFileSync('sh', [
      '-ec',
      `ip link add w0 type veth peer name w1 netns node && ip address add 10.8.0.1/24 dev w0 && ip link set w0 up
       ip -n node address add 10.8.0.5/24 dev w1 && ip -n node link set w1 up`,
    ]);
    try {
      for (const [address, device] of [
        ['10.8.0.5/24', 'w1'],
        ['10.7.0.5/24', 'v1'],
      ] as const) {
        await member.cli('node', 'set', 'n1', `net.ipv4_address=${address}`);
        // The member looks for networks that have come, and links are up some seconds later.
        const found = await waitUntil('it is found on both', async () => {
          const all = await asNode<{ address: string; isDefault: boolean }[]>('discover');
          const isOn = (name: string) => all.some((one) => one.address.endsWith(`%${name}`));
          return isOn('v1') && isOn('w1') && all;
        });
        expect(found.map(({ isDefault }) => isDefault)).toEqual(found.map((_, index) => index === 0));
        expect(found[0]?.address).toMatch(new RegExp(`%${device}$`));
      }
    } finally {
      execFileSync('ip', ['link', 'del', 'w0']);
    }
  });

  it('of another site nobody answers', async () => {
    expect(await asNode('discover', { uuid: 'another' })).toEqual([]);
  });

  it('that takes longer says what it waits for, and where it asks', async () => {
    const ear = createSocket({ type: 'udp4', reuseAddr: true });
    let heard = 0;
    ear.on('message', () => heard++);
    await new Promise<void>((resolve) => ear.bind(discoveryPort, discoveryGroups.ipv4, resolve));
    ear.addMembership(discoveryGroups.ipv4, memberAddress);
    await member.cli('node', 'arm', 'n1', 'once');
    signal(member.pid, 'SIGSTOP');
    try {
      const enrolled = asNode<{ said: string[] }>('enrol');
      // Nobody asks a second time who has got an answer.
      await waitUntil('it has asked again', () => heard >= 2);
      signal(member.pid, 'SIGCONT');
      expect((await enrolled).said[0]).toMatch(
        /^looking for members of this site: none has answered yet; asked from (v1 \S+, )*v1 10\.7\.0\.5/,
      );
    } finally {
      signal(member.pid, 'SIGCONT');
      ear.close();
    }
  });
});

it('who the node is, is not believed of whoever answers first, but of a member that can prove that it is one', async () => {
  const [ear, mouth] = [createSocket({ type: 'udp4', reuseAddr: true }), createSocket('udp4')];
  ear.on('message', (_, from) =>
    mouth.send(formatFound({ node: 'n2', time: Date.now(), isDefault: true }), from.port, from.address),
  );
  await new Promise<void>((resolve) => ear.bind(discoveryPort, resolve));
  await new Promise<void>((resolve) => mouth.bind(0, otherMember, resolve));
  ear.addMembership(discoveryGroups.ipv4, otherMember);
  await member.cli('node', 'arm', 'n1', 'once');
  try {
    const { node, members } = await asNode<{ node: string; members: string[] }>('enrol');
    expect({ node, isHeard: members.includes(otherMember) }).toEqual({ node: 'n1', isHeard: true });
  } finally {
    for (const socket of [ear, mouth]) socket.close();
  }
});

describe('a key', () => {
  it('is granted when the node is armed; the member believes it, and gives what the node is to be', async () => {
    expect(await asNode('grant', { address: '10.7.0.1' })).toMatchObject({ outcome: { kind: 'denied' } });
    await member.cli('node', 'arm', 'n1', 'once');
    const { outcome, key } = await asNode<{ outcome: object; key: string }>('grant', { address: '10.7.0.1' });
    expect(outcome).toEqual({ kind: 'granted' });
    expect(key).toMatch(/^[A-Za-z0-9./]{32}$/);
    const [answer] = await asNode<Answer[]>('ask', { members: ['10.7.0.1'], key, route: 'deploycfg2' });
    expect(answer).toMatchObject({ kind: 'ok', member: '10.7.0.1', body: expect.stringMatching(/^profile: demo$/m) });
    const [refused] = await asNode<Answer[]>('ask', {
      members: ['10.7.0.1'],
      key: 'x'.repeat(32),
      route: 'deploycfg2',
    });
    expect(refused).toMatchObject({ kind: 'refused', why: '401 Unauthorized' });
  });

  it('by the link-local address of a member, over TLS too', async () => {
    const found = await asNode<{ address: string }[]>('discover');
    const address = found.find((one) => one.address.includes('%'))?.address ?? '';
    await member.cli('node', 'arm', 'n1', 'once');
    const { outcome, key } = await asNode<{ outcome: object; key: string }>('grant', { address });
    expect(outcome).toEqual({ kind: 'granted' });
    const [answer] = await asNode<Answer[]>('ask', { members: [address], key, route: 'myattribs' });
    expect(answer).toMatchObject({ kind: 'ok' });
  });

  it('whose last answer is lost is the node’s all the same: the arming is not spent in vain', async () => {
    const grants = (await member.cli('audit', 'n1')).match(/key granted/g)?.length ?? 0;
    const [script, between] = [fileURLToPath(new URL('cut-answer.ts', import.meta.url)), '127.0.0.5'];
    const words = [process.execPath, script, between, memberAddress];
    const child = spawn('ip', ['netns', 'exec', netns, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    try {
      await member.cli('node', 'arm', 'n1', 'once');
      expect(await asNode('grant', { address: between })).toMatchObject({ outcome: { kind: 'lost' } });
      await member.cli('node', 'arm', 'n1', 'once');
      const { key, said } = await asNode<{ key: string; said: string[] }>('enrol', {
        members: [between, memberAddress],
      });
      expect(said.join('\n')).not.toMatch(/has no key/);
      const [answer] = await asNode<Answer[]>('ask', { members: [memberAddress], key, route: 'deploycfg2' });
      expect(answer).toMatchObject({ kind: 'ok' });
    } finally {
      child.kill();
      await once(child, 'exit');
    }
    // Of the boot one, although the second member was there to be asked.
    expect((await member.cli('audit', 'n1')).match(/key granted/g)?.length).toBe(grants + 2);
  });

  it('nobody there, and nobody of ours, are not denied', async () => {
    expect(await asNode('grant', { address: '10.7.0.99' })).toMatchObject({ outcome: { kind: 'unreachable' } });
    const ended = await asNode<{ outcome: { kind: string; why: string } }>('grant', { address: '10.7.0.5' });
    expect(ended.outcome).toMatchObject({ kind: 'unreachable', why: expect.stringMatching(/refused/) });
  });
});

describe('members that are named', () => {
  it('tell a node its name, when it has no other; one that they do not know is told what to do', async () => {
    await member.cli('node', 'set', 'n1', 'net.hwaddr=');
    const enrolled = asNode<{ node: string; said: string[] }>('enrol', { members: ['10.7.0.1'], nameless: true });
    await waitUntil('it has been told', async () => {
      const metrics = await (await fetch(`http://${metricsAddress}/metrics`)).text();
      return /requests_total\{route="\/confluent-api\/self\/whoami",status="404"\}/.test(metrics);
    });
    await member.cli('node', 'set', 'n1', 'net.hwaddr=52:54:00:12:34:56');
    await member.cli('node', 'arm', 'n1', 'once');
    const { node, said } = await enrolled;
    expect(node).toBe('n1');
    expect(said[0]).toMatch(
      /^members: no member knows this machine \(.*52:54:00:12:34:56.*\), of 10\.7\.0\.1: say its name \(tetherfs\.node=\), or .*; trying again/,
    );
  });

  it('are believed by a machine whose clock begins in 1970, before anybody has told it the time', async () => {
    await member.cli('node', 'arm', 'n1', 'once');
    const words = { members: ['10.7.0.1'], node: 'n1' };
    const { said } = await asNode<{ said: string[] }>('enrol', words, '1970-01-02 00:00:00 UTC');
    expect(said.join('\n')).not.toMatch(/trying again/);
  });

  it('may stand in a file, with the name or without', async () => {
    const file = member.path('confluent.info');
    for (const name of ['NODENAME: n1\n', '']) {
      writeFileSync(file, `${name}MANAGER: 10.7.0.5\nMANAGER: 10.7.0.1\n`);
      await member.cli('node', 'arm', 'n1', 'once');
      const { node, members } = await asNode<{ node: string; members: string[] }>('enrol', { infoFile: file });
      expect([node, members]).toEqual(['n1', ['10.7.0.1', '10.7.0.5']]);
    }
  });
});

describe('a question', () => {
  let key: string;
  beforeAll(async () => {
    await member.cli('node', 'arm', 'n1', 'once');
    ({ key } = await asNode<{ key: string }>('grant', { address: '10.7.0.1' }));
  });

  it('goes to the next member when one cannot be reached', async () => {
    const answers = await asNode<Answer[]>('ask', { members: ['10.7.0.5', '10.7.0.1'], key, route: 'myattribs' });
    expect(answers.map(({ kind }) => kind)).toEqual(['unreachable', 'ok']);
  });

  it('what a member cannot help with is no refusal', async () => {
    const [answer] = await asNode<Answer[]>('ask', { members: ['10.7.0.1'], key, route: 'there-is-no-such-route' });
    expect(answer).toMatchObject({ kind: 'invalid', why: '404 Not found' });
  });

  it('TLS: nobody but the site’s authorities is believed, for the address that was asked; each in words', async () => {
    const ask = async (words: object, at?: string) =>
      (await asNode<Answer[]>('ask', { members: ['10.7.0.1'], key, route: 'myattribs', ...words }, at))[0];
    const stranger = readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8').split(
      /(?<=-----END CERTIFICATE-----)\n/,
    )[0];
    expect(await ask({ authorities: [stranger] })).toMatchObject({
      kind: 'unreachable',
      why: expect.stringMatching(/signed by no authority of the site archive/),
    });
    expect(await ask({}, '2101-01-01 00:00:00 UTC')).toMatchObject({
      kind: 'unreachable',
      why: expect.stringMatching(/not valid at this machine's time, 2101-01-01T00:00Z: is the clock right\?/),
    });
  });
});
