/** The network of the new root is told to Debian's own programs, which take it: systemd-networkd, NetworkManager, netplan, ifupdown. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { machineIdOf } from '../../src/node/identity/machine-id.ts';
import { ifupdownFiles } from '../../src/node/root-network/ifupdown.ts';
import type { NetworkFile } from '../../src/node/root-network/managers.ts';
import { netplanFiles } from '../../src/node/root-network/netplan.ts';
import { networkManagerFiles } from '../../src/node/root-network/network-manager.ts';
import { networkdFiles } from '../../src/node/root-network/networkd.ts';
import { plan } from '../node/network-plan.ts';
import { Overlay } from '../support/overlay.ts';
import { waitUntil } from '../support/wait-until.ts';
import { DhcpServer } from './dhcp.ts';

let overlay: Overlay;
beforeAll(() => {
  const lower = process.env['TETHERFS_BOOT_NETWORK_TOOLS'];
  if (lower === undefined) throw new Error('$TETHERFS_BOOT_NETWORK_TOOLS is not set: run npm run test:boot');
  overlay = new Overlay(lower);
  const { root } = overlay;
  writeFileSync(join(root, 'etc/machine-id'), `${machineIdOf('node1', '')}\n`);
  // Read-only: then systemd waits for no udev.
  execFileSync('sh', [
    '-ec',
    `mount -t proc proc ${root}/proc; mount --rbind /dev ${root}/dev; mount -t tmpfs run ${root}/run`,
  ]);
});
afterAll(() => overlay?.[Symbol.dispose]());

function leave(files: readonly NetworkFile[]): string[] {
  return files.map(({ path, content, mode = 0o644 }) => {
    const place = join(overlay.root, path);
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, content);
    chmodSync(place, mode);
    return path;
  });
}

/** In the tree. @returns all that it printed. */
function inTree(words: readonly [string, ...string[]], input = ''): { status: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync('chroot', [overlay.root, ...words], { encoding: 'utf8', input });
  return { status, said: stdout + stderr };
}

it('netplan makes of it what networkd takes', () => {
  leave(netplanFiles(plan));
  expect(inTree(['netplan', 'generate'])).toEqual({ status: 0, said: '' });
  const made = join(overlay.root, 'run/systemd/network');
  const main = readFileSync(join(made, '10-netplan-eth0.network'), 'utf8');
  for (const line of [
    'Address=10.9.0.100/24',
    'Address=fd00:9::100/64',
    'Gateway=10.9.0.1',
    'DNS=10.9.0.1',
    'CriticalConnection=true',
  ])
    expect(main).toContain(`${line}\n`);
  expect(readFileSync(join(made, '10-netplan-eth1.5.netdev'), 'utf8')).toMatch(/Kind=vlan[\s\S]*Id=5/);
  execFileSync('rm', ['-r', made, join(overlay.root, 'run/netplan')]);
});

it('NetworkManager reads its keyfiles, and finds nothing to correct', () => {
  for (const path of leave(networkManagerFiles(plan))) {
    const own = readFileSync(join(overlay.root, path), 'utf8');
    const { status, said } = inTree(
      ['nmcli', '--offline', 'connection', 'modify', 'connection.autoconnect', 'yes'],
      own,
    );
    expect({ status, said }).toEqual({ status: 0, said: expect.stringMatching(/^\[connection\]/) });
    // What is not understood is dropped; what is the usual is not written.
    const settings = (text: string) => text.split('\n').filter((line) => line.includes('='));
    expect(settings(said)).toEqual(expect.arrayContaining(settings(own)));
  }
});

it('ifupdown would do it', () => {
  const main = join(overlay.root, 'etc/network/interfaces');
  leave(ifupdownFiles(plan, readFileSync(main, 'utf8')));
  const { status, said } = inTree(['ifup', '--no-act', '--verbose', '--all']);
  expect(status).toBe(0);
  expect(said).not.toMatch(/^ifup: (?!parsing|configuring)/m);
  expect(said).toMatch(/ip link set dev eth1 mtu 1400/);
  expect(said).toMatch(/ip addr add 10\.5\.0\.100\/255\.255\.255\.0.* dev eth1\.5/);
  expect(said).toMatch(/dhclient .*eth1|dhcpcd .*eth1/);
  // It has it.
  expect(said).not.toMatch(/addr add .* dev eth0/);
});

it('systemd-networkd does it, and does not touch what the root comes by', async () => {
  const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
  ip('netns', 'add', 'node');
  for (const name of ['eth0', 'eth1']) {
    ip('link', 'add', `peer-${name}`, 'type', 'veth', 'peer', 'name', name, 'netns', 'node');
    ip('link', 'set', `peer-${name}`, 'up');
  }
  ip('address', 'add', '10.8.0.1/24', 'dev', 'peer-eth1');
  await using _dhcp = await DhcpServer.start('peer-eth1', '10.8.0.120');
  // As the initramfs has set it up.
  ip('-n', 'node', 'address', 'add', '10.9.0.100/24', 'dev', 'eth0');
  // By another address than networkd is told of, as it may have been lent to it.
  ip('-n', 'node', 'address', 'add', '10.9.0.150/24', 'dev', 'eth0');
  ip('-n', 'node', 'link', 'set', 'eth0', 'up');
  ip('-n', 'node', 'route', 'add', 'default', 'via', '10.9.0.1');
  // Kernels of test machines may have no VLANs.
  leave(networkdFiles({ ...plan, links: plan.links.filter(({ vlan }) => vlan === undefined) }));
  const watching = spawn('ip', ['-n', 'node', 'monitor', 'address'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let seen = '';
  watching.stdout.setEncoding('utf8').on('data', (text: string) => {
    seen += text;
  });
  await waitUntil('changes of addresses are seen', () => {
    for (const change of ['add', 'del']) ip('-n', 'node', 'address', change, '127.0.0.2/32', 'dev', 'lo');
    return seen !== '';
  });
  const script = `mount -t sysfs -o ro sys ${overlay.root}/sys
    mkdir -p ${overlay.root}/run/systemd/netif/{links,leases,lldp}; chroot ${overlay.root} chown -R systemd-network: /run/systemd/netif
    exec chroot ${overlay.root} /lib/systemd/systemd-networkd`;
  const networkd = spawn('ip', ['netns', 'exec', 'node', 'bash', '-ec', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve) => networkd.on('exit', resolve));
  let said = '';
  for (const stream of [networkd.stdout, networkd.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  try {
    const addresses = (device: string) =>
      (
        JSON.parse(ip('-n', 'node', '-json', 'address', 'show')) as {
          ifname: string;
          mtu: number;
          addr_info: { local: string }[];
        }[]
      )
        .filter(({ ifname }) => ifname === device)
        .flatMap(({ addr_info }) => addr_info.map(({ local }) => local));
    await waitUntil('all is set up', () => networkd.exitCode !== null || addresses('eth0').includes('fd00:9::100'), {
      timeoutMs: 60_000,
    });
    const given = () =>
      networkd.exitCode !== null || addresses('eth1').some((address) => address.startsWith('10.8.0.'));
    await waitUntil('it has the address that it was given', given, { timeoutMs: 60_000 });
    expect(networkd.exitCode).toBeNull();
    expect(said).not.toMatch(/unknown|ignoring|failed to parse|invalid/i);
    expect(ip('-n', 'node', 'route', 'show', 'default')).toMatch(/default via 10\.9\.0\.1 dev eth0/);
    expect(ip('-n', 'node', 'link', 'show', 'eth1')).toMatch(/mtu 1400/);
    expect(seen).not.toMatch(/Deleted.*10\.9\.0\.1[05]0/);
  } catch (cause) {
    throw new Error(`it says: ${said}`, { cause });
  } finally {
    watching.kill();
    networkd.kill();
    await ended;
    ip('netns', 'del', 'node');
    execFileSync('umount', ['/run/netns']);
  }
});
