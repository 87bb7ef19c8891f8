/** Where members are: IPv6, link-local addresses on a real link, names that a DNS server changes. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Nginx } from '../support/nginx.ts';
import { signal } from '../support/process-tree.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { HeldMount } from './held-mount.ts';
import { expectRandomReads, expectWhole } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 8, members: 2 });
});
afterAll(() => site?.[Symbol.asyncDispose]());

const mount = (urls: readonly string[], ...options: string[]) =>
  HeldMount.make({
    urls,
    mountpoint: site.newMountpoint(),
    options: ['--digest', site.digest, '--cache-size', '2MiB', ...options],
  });
const path = 'os/test/rootimg.sfs';
let seed = 1;
const read = (held: HeldMount) =>
  expectRandomReads(held.file, site.served, { count: 40, longest: 200_000, seed: seed++, readers: 4 });

describe('IPv6', () => {
  const ip = (...words: string[]) => execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] });
  /** Its network is the member's. */
  let machine: ChildProcess;
  let server: Nginx;

  beforeAll(async () => {
    machine = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo up; exec sleep infinity'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => machine.stdout?.once('data', resolve));
    ip('link', 'add', 'node0', 'type', 'veth', 'peer', 'name', 'member0', 'netns', String(machine.pid));
    const launcher = ['nsenter', `--net=/proc/${machine.pid}/ns/net`, '--'] as const;
    const there = (...words: string[]) => execFileSync(launcher[0], [...launcher.slice(1), 'ip', ...words]);
    there('address', 'add', 'fe80::7/64', 'dev', 'member0', 'nodad');
    there('address', 'add', 'fd00:7::7/64', 'dev', 'member0', 'nodad');
    there('link', 'set', 'member0', 'up');
    ip('address', 'add', 'fe80::1/64', 'dev', 'node0', 'nodad');
    ip('address', 'add', 'fd00:7::1/64', 'dev', 'node0', 'nodad');
    ip('link', 'set', 'node0', 'up');
    server = await Nginx.start({
      address: '[fd00:7::7]',
      alsoListen: ['[::]:80', '[::]:443 ssl'],
      publicDir: site.path('public-0'),
      certificate: site.authority.issue(['fd00:7::7', 'fe80::7']),
      launcher,
    });
  });
  afterAll(async () => {
    await server?.close();
    machine.kill('SIGKILL');
  });

  const index = () => /^\d+/.exec(execFileSync('ip', ['-o', 'link', 'show', 'node0'], { encoding: 'utf8' }))?.[0];
  it.each<[string, () => string]>([
    ['an address', () => '[fd00:7::7]'],
    ['a link-local one, its zone a name', () => '[fe80::7%25node0]'],
    ['… or a number', () => `[fe80::7%25${index()}]`],
    ['… as upstream writes it', () => `[fe80::7%${index()}]`],
  ])('%s, over http and https, and for a successor', async (_what, host) => {
    const urls = [`http://${host()}/confluent-public/${path}`, `https://${host()}/confluent-public/${path}`];
    await using held = await mount(urls, '--ca-file', site.authority.file);
    const allUp = async () => (await held.status()).members.every(({ state }) => state === 'up');
    await waitUntil('both are used', allUp);
    signal(held.daemon, 'SIGKILL');
    await held.successorOf(held.daemon);
    await waitUntil('both are used again', allUp);
    await expectWhole(held.file, site.served);
  });
});

describe('names', () => {
  const temp = makeTempDir('dns');
  const hosts = join(temp.path, 'hosts');
  const name = 'member.tetherfs.example';
  let server: ChildProcess;

  const answer = (...addresses: string[]) => writeFileSync(hosts, addresses.map((one) => `${one} ${name}\n`).join(''));
  /** dnsmasq reads its files again. */
  const change = (...addresses: string[]) => {
    answer(...addresses);
    server.kill('SIGHUP');
  };

  beforeAll(() => {
    const resolver = join(temp.path, 'resolv.conf');
    writeFileSync(resolver, 'nameserver 127.0.0.53\n');
    execFileSync('mount', ['--bind', resolver, '/etc/resolv.conf']);
  });
  afterAll(() => {
    execFileSync('umount', ['/etc/resolv.conf']);
    temp.remove();
  });
  beforeEach(async () => {
    answer('127.0.0.11');
    server = spawn(
      'dnsmasq',
      [
        ...['--keep-in-foreground', '--conf-file=/dev/null', '--user=root', '--no-resolv', '--no-hosts'],
        ...['--listen-address=127.0.0.53', '--bind-interfaces', `--addn-hosts=${hosts}`, '--log-facility=-'],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let said = '';
    server.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await waitUntil('the DNS server has read its names', () => said.includes(hosts));
  });
  afterEach(() => void server.kill('SIGKILL'));

  const url = `http://${name}/confluent-public/${path}`;

  it('several addresses, of which one is dead', async () => {
    change('127.0.0.99', '127.0.0.11', '127.0.0.98');
    await using held = await mount([url]);
    await read(held);
  });

  it('another address, while it is mounted: found without a restart, and without what the old one served', async () => {
    await using held = await mount([url]);
    await read(held);
    change('127.0.0.12');
    await site.members[0]?.kill();
    try {
      await waitUntil('it is used at its new address', async () => (await held.status()).members[0]?.state === 'up');
      await read(held);
    } finally {
      await site.members[0]?.restart();
    }
  });

  it('a successor knows the addresses, though nobody answers for names any more', async () => {
    await using held = await mount([url]);
    server.kill('SIGKILL');
    signal(held.daemon, 'SIGKILL');
    const { pid } = await held.successorOf(held.daemon);
    await read(held);
    await held.takeOver();
    await held.successorOf(pid);
    await read(held);
  });

  it('a member added by name is looked up by whoever adds it', async () => {
    await using held = await mount([site.urls()[1] ?? '']);
    const { stdout } = await held.run('members', 'add', held.mountpoint, url);
    expect(stdout).toMatch(/member\.tetherfs\.example.* up *$/m);
  });
});
