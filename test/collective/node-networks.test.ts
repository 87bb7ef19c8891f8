import { describe, expect, it } from 'vitest';
import { liesIn } from '../../src/collective/local-interfaces.ts';
import { addressesOf, namesOf } from '../../src/collective/names.ts';
import { arrivalOf, contains, netmaskOf, networksOf } from '../../src/collective/node-networks.ts';

/** Of the interface that the node came by. */
const local = [
  { address: '10.0.0.1', prefix: 24 },
  { address: 'fd00::1', prefix: 64 },
  { address: 'fe80::1', prefix: 64 },
];
const arrival = (attributes: Record<string, string>, resolved: string[] = []) =>
  arrivalOf({ attributes, local, resolved });

describe('the address that a node gets', () => {
  it('is that of its network on which it came, with our prefix where it has none, and our address there', () => {
    const found = arrival({
      'net.ib.ipv4_address': '10.1.0.5/16',
      'net.ipv4_address': '10.0.0.5',
      'net.ipv4_gateway': '10.0.0.254',
      'net.ipv6_address': 'fd00::5/56',
    });
    expect(found.ipv4).toEqual({ method: 'static', address: '10.0.0.5', prefix: 24, gateway: '10.0.0.254' });
    expect(found.deployServer).toBe('10.0.0.1');
    expect(found.ipv6).toEqual({ method: 'static', address: 'fd00::5', prefix: 56 });
    expect(found.deployServerV6).toBe('fd00::1');
    expect(found.network?.name).toBe('');
  });

  it('is its own when the firmware has got it by DHCP', () => {
    expect(arrival({ 'net.ipv4_address': '10.0.0.5', 'net.ipv4_method': 'firmwaredhcp' }).ipv4.method).toBe('static');
  });

  it('comes by DHCP when one of its networks says so, and none is ours', () => {
    expect(arrival({ 'net.ipv4_address': '10.9.0.5/24', 'net.b.ipv4_method': 'dhcp' }).ipv4).toEqual({
      method: 'dhcp',
    });
  });

  it('is what its name has, when no attribute says more', () => {
    expect(arrival({}, ['192.168.0.1', '10.0.0.7']).ipv4).toEqual({
      method: 'static',
      address: '10.0.0.7',
      prefix: 24,
    });
    expect(arrival({}, ['192.168.0.1']).ipv4).toEqual({});
  });

  it('is never that of its BMC', () => {
    const attributes = {
      'hardwaremanagement.manager': '10.0.0.9',
      'net.bmc.ipv4_address': '10.0.0.9',
      'net.ipv4_address': '10.0.0.5',
    };
    expect(arrival(attributes).ipv4.address).toBe('10.0.0.5');
    expect(addressesOf(attributes)).toEqual(['10.0.0.5']);
  });
});

it('networks are told apart by their names; what is for the node alone is kept', () => {
  expect(
    networksOf({ 'net.hwaddr': 'a', 'net.ib0.mtu': '2044', 'net.ib0.hostname': 'n1-ib,x', 'dns.domain': 'x' }),
  ).toEqual([
    { name: '', ipv4: {}, ipv6: {}, hostnames: [], other: { hwaddr: 'a' } },
    { name: 'ib0', ipv4: {}, ipv6: {}, hostnames: ['n1-ib', 'x'], other: { mtu: '2044' } },
  ]);
});

it('a node is called by its name and those of its networks, with the domain; never by those of loopback', () => {
  expect(namesOf('n1', { 'dns.domain': 'example.org', 'net.ib.hostname': 'n1-ib.example.org' })).toEqual([
    'n1',
    'n1.example.org',
    'n1-ib.example.org',
  ]);
});

it.each([
  [0, '0.0.0.0'],
  [16, '255.255.0.0'],
  [23, '255.255.254.0'],
  [32, '255.255.255.255'],
])('%i bits are %s', (prefix, mask) => expect(netmaskOf(prefix)).toBe(mask));

it.each([
  ['10.0.0.77', '10.0.0.1', 24, true],
  ['10.0.1.77', '10.0.0.1', 24, false],
  ['fd00::9', 'fd00::1', 64, true],
  ['10.0.0.1', 'fd00::1', 0, false],
  ['n1', '10.0.0.1', 24, false],
])('%s lies in the subnet of %s/%i: %s', (address, ours, prefix, expected) => {
  expect(contains({ address: ours, prefix }, address)).toBe(expected);
});

it('trusted subnets are subnets, or addresses', () => {
  const subnets = ['10.1.0.0/16', '192.168.7.7', 'fd01::/48'];
  expect(['10.1.2.3', '192.168.7.7', 'fd01::9'].map((address) => liesIn(address, subnets))).toEqual([true, true, true]);
  expect(['10.2.0.1', '192.168.7.8', 'fd02::9', 'x'].map((address) => liesIn(address, subnets))).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
