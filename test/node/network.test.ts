/** What a node's boot waits for before it asks its members: of real network devices. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Links } from '../../src/node/links.ts';
import { waitForNetwork } from '../../src/node/steps/network.ts';
import { waitUntil } from '../support/wait-until.ts';

const ip = (...words: string[]) => execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] });

const wait = { console: { say() {} }, signal: new AbortController().signal };

beforeEach(() => {
  // The sandbox has another network than the /sys that it was made under.
  execFileSync('mount', ['-t', 'sysfs', 'sysfs', '/sys']);
  ip('link', 'add', 'node0', 'type', 'veth', 'peer', 'name', 'switch0');
});
afterEach(() => {
  ip('link', 'del', 'node0');
  execFileSync('umount', ['/sys']);
});

it('a member at a link-local address: until ours is no longer looked at for duplicates', async () => {
  ip('link', 'set', 'switch0', 'up');
  ip('link', 'set', 'node0', 'up');
  await waitForNetwork({ ...wait, members: ['http://[fe80::1%25node0]/rootimg.sfs'] });
  expect(execFileSync('ip', ['-6', 'address', 'show', 'dev', 'node0'], { encoding: 'utf8' })).toMatch(
    /inet6 fe80:(?!.*tentative)/,
  );
});

it('devices are switched on, those that come late as well; whoever switches one off is obeyed', async () => {
  const isUp = (name: string) => (Number(readFileSync(`/sys/class/net/${name}/flags`, 'utf8')) & 1) === 1;
  using _links = await Links.switchOn();
  expect(isUp('node0')).toBe(true);
  ip('link', 'set', 'node0', 'down');
  ip('link', 'add', 'late0', 'type', 'veth', 'peer', 'name', 'late1');
  try {
    await waitUntil('the late device is on', () => isUp('late0'));
    expect(isUp('node0')).toBe(false);
  } finally {
    ip('link', 'del', 'late0');
  }
});

it('says which device lacks what, and goes on when it has it', async () => {
  ip('address', 'add', '10.77.0.2/24', 'dev', 'node0');
  ip('link', 'set', 'node0', 'up');
  const said: string[] = [];
  const say = (line: string) => {
    said.push(line);
    ip('link', 'set', 'switch0', 'up');
  };
  await waitForNetwork({ ...wait, members: ['http://10.77.0.1/rootimg.sfs'], console: { say } });
  expect(said[0]).toMatch(/^waiting for the network: .*node0 has no carrier/);
});
