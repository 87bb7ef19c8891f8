/** What becomes of what a member says of a node's networks; whether the programs of an image take it is tried in test/boot/root-network.test.ts. */
import { describe, expect, it } from 'vitest';
import { ifupdownFiles } from '../../src/node/root-network/ifupdown.ts';
import { type Device, planNetwork } from '../../src/node/root-network/plan.ts';
import { netcfgSchema } from '../../src/protocol/netcfg.ts';
import { plan } from './network-plan.ts';

const device = (name: string, last: string): Device => ({ name, mac: `52:54:00:00:00:${last}`, kind: 'ethernet' });
const devices = [device('eth0', '01'), device('eth1', '02')];
const config = { nameservers: [''], dnsdomain: null };
const planOf = (netcfg: object) =>
  planNetwork({ netcfg: netcfgSchema.parse(netcfg), config, devices, bootDevice: 'eth0' });

describe('a plan', () => {
  it('has the network that the node came by, and the others on their devices', () => {
    const { links, lacks } = planOf({
      default: { ipv4_method: 'static', ipv4_address: '10.0.0.5/24', ipv4_gateway: null, mtu: '9000' },
      extranets: {
        data: { hwaddr: '52:54:00:00:00:02', ipv4_method: 'dhcp' },
        store: { interface_names: 'ethX, eth1', vlan_id: '5', ipv6_address: 'fd00::5/64', ipv6_gateway: 'fd00::1' },
        nothing: { hwaddr: '52:54:00:00:00:02', ipv4_method: null },
      },
    });
    expect(lacks).toEqual([]);
    expect(links).toMatchObject([
      { device: 'eth0', isBoot: true, mtu: 9000, ipv4: { method: 'static', address: '10.0.0.5/24' }, nameservers: [] },
      { device: 'eth1', isBoot: false, name: 'data', ipv4: { method: 'dhcp' }, ipv6: { method: 'none' } },
      { device: 'eth1.5', vlan: { id: 5, parent: 'eth1' }, ipv6: { address: 'fd00::5/64', gateway: 'fd00::1' } },
    ]);
  });

  it.each([
    [{ hwaddr: '52:54:00:00:00:99', ipv4_method: 'dhcp' }, 'the network x has no device here: 52:54:00:00:00:99'],
    [{ ipv4_method: 'dhcp' }, 'the network x has no device here: say net.NAME.hwaddr or interface_names'],
    [
      { interface_names: 'eth1', ipv4_method: 'dhcp', team_mode: 'lacp' },
      'the network x is to be a team of devices, which is not set up',
    ],
    [{ interface_names: 'eth0', ipv4_method: 'dhcp' }, 'the network x is on eth0, which another network has'],
  ])('%j: what cannot be is said', (said, words) => {
    const { links, lacks } = planOf({ default: {}, extranets: { x: said } });
    expect(lacks).toEqual([words]);
    expect(links.map((link) => link.device)).toEqual(['eth0']);
  });
});

it('a VLAN has a name that the kernel takes, and one without a number is none', () => {
  const { links } = planNetwork({
    netcfg: netcfgSchema.parse({
      default: { vlan_id: null },
      extranets: { x: { interface_names: 'enp193s0f0np0', vlan_id: 4000, ipv4_method: 'dhcp' } },
    }),
    config,
    devices: [device('eth0', '01'), device('enp193s0f0np0', '02')],
    bootDevice: 'eth0',
  });
  expect(links.map((link) => link.device)).toEqual(['eth0', 'vlan4000']);
});

it('the device that the root comes by stays as it is, whatever VLAN it is to be', () => {
  const { links, lacks } = planOf({ default: { vlan_id: 7, ipv4_method: 'dhcp' } });
  expect(lacks).toEqual([
    'the network of the node is to be VLAN 7, and the node has booted by eth0 itself, which stays as it is',
  ]);
  expect(links).toMatchObject([{ device: 'eth0', isBoot: true, vlan: undefined }]);
});

describe('ifupdown', () => {
  it('includes our file where its own does not; what that says of a device stays', () => {
    const paths = (before: string) => ifupdownFiles(plan, before).map(({ path }) => path);
    for (const line of ['source /etc/network/interfaces.d/*', 'source-directory /etc/network/interfaces.d'])
      expect(paths(`auto lo\n${line}\n`)).toEqual(['/etc/network/interfaces.d/tetherfs']);
    expect(ifupdownFiles(plan, 'auto lo\n')[1]).toEqual({
      path: '/etc/network/interfaces',
      content: 'auto lo\nsource /etc/network/interfaces.d/*\n',
    });
    const [{ content = '' } = {}] = ifupdownFiles(plan, 'iface eth1 inet static\n  address 10.1.1.1/8\n');
    expect(content.match(/^iface \S+/gm)).toEqual(['iface eth0', 'iface eth0', 'iface eth1.5']);
  });
});
