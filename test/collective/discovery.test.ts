/** Nodes that look for their members, from a network namespace of their own. */
import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MemberServer } from '../support/member.ts';
import { waitUntil } from '../support/wait-until.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('./ask.ts', import.meta.url));
const mac = '52:54:00:12:34:56';
const names = [{ kind: 'mac', value: mac }];

let member: MemberServer;
let site = '';
beforeAll(async () => {
  const commands = `
    ip netns add node
    ip link add v0 type veth peer name v1 netns node
    ip addr add 10.7.0.1/24 dev v0 && ip link set v0 up
    ip -n node addr add 10.7.0.5/24 dev v1 && ip -n node link set v1 up && ip -n node link set lo up
    ip -n node route add default dev v1`;
  execFileSync('sh', ['-ec', commands]);
  await waitUntil(
    'duplicates have been looked for',
    () => !execFileSync('sh', ['-c', 'ip -6 addr; ip -n node -6 addr'], { encoding: 'utf8' }).includes('tentative'),
  );
  member = await MemberServer.start();
  site = /site (\S+)/.exec(member.said)?.[1] ?? '';
  await member.cli('node', 'add', 'n1', `net.hwaddr=${mac}`);
});
afterAll(async () => {
  await member?.[Symbol.asyncDispose]();
  execFileSync('sh', ['-c', 'ip netns del node; umount /run/netns']);
});

async function ask(
  kind: 'udp4' | 'udp6',
  address: string,
  search: object,
  wanted = 0,
): Promise<{ node: string; time: number; interfaceIndex?: number; from: string }[]> {
  const words = [
    'netns',
    'exec',
    'node',
    process.execPath,
    script,
    kind,
    address,
    JSON.stringify(search),
    String(wanted),
  ];
  return JSON.parse((await run('ip', words)).stdout);
}

it('a node without a profile is answered by members of its site alone', async () => {
  expect(await ask('udp4', '239.255.255.250', { names })).toEqual([]);
  expect(await ask('udp4', '239.255.255.250', { confluentUuid: 'another', names })).toEqual([]);
  expect(await ask('udp4', '239.255.255.250', { confluentUuid: site, names }, 1)).toEqual([
    expect.objectContaining({ node: 'n1', from: '10.7.0.1' }),
  ]);
});

it('a node with a profile is answered, with the time: by multicast, broadcast, IPv6; link-local with the interface', async () => {
  await member.cli('node', 'set', 'n1', 'deployment.pendingprofile=demo');
  for (const address of ['239.255.255.250', '10.7.0.255', '10.7.0.1']) {
    const [answer] = await ask('udp4', address, { names }, 1);
    expect(answer).toMatchObject({ node: 'n1', from: '10.7.0.1' });
    expect(Math.abs((answer?.time ?? 0) - Date.now())).toBeLessThan(60_000);
  }
  const [answer] = await ask('udp6', 'ff02::c%v1', { names }, 1);
  const index = Number(execFileSync('ip', ['-o', 'link', 'show', 'v0'], { encoding: 'utf8' }).split(':')[0]);
  expect(answer).toMatchObject({ node: 'n1', interfaceIndex: index });
  expect(answer?.from).toMatch(/^fe80::.*%v1$/);
});

it('the first name that is known decides; who is not known, or is of other members, gets no answer', async () => {
  const unknown = { kind: 'mac', value: '52:54:00:00:00:99' };
  expect(await ask('udp4', '10.7.0.1', { names: [unknown, ...names] }, 1)).toHaveLength(1);
  expect(await ask('udp4', '10.7.0.1', { names: [unknown] })).toEqual([]);
  await member.cli('node', 'set', 'n1', 'collective.managercandidates=another');
  expect(await ask('udp4', '10.7.0.1', { names })).toEqual([]);
  await member.cli('node', 'set', 'n1', 'collective.managercandidates=');
});

it('nobody from afar is answered', async () => {
  execFileSync('ip', ['-n', 'node', 'addr', 'add', '192.168.77.1/32', 'dev', 'v1']);
  execFileSync('ip', ['route', 'add', '192.168.77.1/32', 'dev', 'v0']);
  const words = [
    'netns',
    'exec',
    'node',
    'sh',
    '-c',
    `ip route change default dev v1 src 192.168.77.1; ip route change 10.7.0.0/24 dev v1 src 192.168.77.1`,
  ];
  await run('ip', words);
  expect(await ask('udp4', '10.7.0.1', { names })).toEqual([]);
});
