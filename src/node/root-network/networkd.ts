/** systemd.network(5), systemd.netdev(5). Below /run: of this boot alone. */
import type { NetworkFile } from './managers.ts';
import type { Link, NetworkPlan } from './plan.ts';

const directory = '/run/systemd/network';
/** Before what an image has for all devices. */
const prefix = '05-tetherfs-';

export function networkdFiles({ links }: NetworkPlan): NetworkFile[] {
  return links.flatMap((link) => {
    const above = links.filter(({ vlan }) => vlan?.parent === link.device);
    const base = `${directory}/${prefix}${link.device}`;
    const network = { path: `${base}.network`, content: networkOf(link, above) };
    if (link.vlan === undefined) return [network];
    const netdev = sections([
      [
        'NetDev',
        [
          ['Name', link.device],
          ['Kind', 'vlan'],
        ],
      ],
      ['VLAN', [['Id', String(link.vlan.id)]]],
    ]);
    const parent = links.some(({ device }) => device === link.vlan?.parent)
      ? []
      : [{ path: `${directory}/${prefix}${link.vlan.parent}.network`, content: bareParent(link.vlan.parent, links) }];
    return [{ path: `${base}.netdev`, content: netdev }, network, ...parent];
  });
}

type Entry = [key: string, value: string];

function networkOf({ device, ipv4, ipv6, mtu, nameservers, domains, isBoot }: Link, above: readonly Link[]): string {
  const families = [ipv4, ipv6];
  const dhcp = `${Number(ipv4.method === 'dhcp')}${Number(ipv6.method === 'dhcp')}`;
  const addresses = families.flatMap((family): Entry[] =>
    family.method === 'static'
      ? [['Address', family.address], ...(family.gateway === undefined ? [] : [['Gateway', family.gateway] as Entry])]
      : [],
  );
  return sections([
    ['Match', [['Name', device]]],
    ['Link', mtu === undefined ? [] : [['MTUBytes', String(mtu)]]],
    [
      'Network',
      [
        ...addresses,
        ['DHCP', { '00': 'no', '01': 'ipv6', '10': 'ipv4', '11': 'yes' }[dhcp] ?? 'no'],
        ...nameservers.map((address): Entry => ['DNS', address]),
        ...domains.map((domain): Entry => ['Domains', domain]),
        ...above.map((link): Entry => ['VLAN', link.device]),
        // The root comes by what it has already.
        ...(isBoot ? [['KeepConfiguration', 'yes'] as Entry] : []),
      ],
    ],
    // As the initramfs has asked: it gets the same address.
    ['DHCPv4', ipv4.method === 'dhcp' ? [['ClientIdentifier', 'mac']] : []],
  ]);
}

/** Of a device that carries others, and has nothing itself. */
function bareParent(device: string, links: readonly Link[]): string {
  const above = links.filter(({ vlan }) => vlan?.parent === device);
  return sections([
    ['Match', [['Name', device]]],
    ['Network', [['LinkLocalAddressing', 'no'], ...above.map((link): Entry => ['VLAN', link.device])]],
  ]);
}

function sections(all: readonly (readonly [name: string, entries: readonly Entry[]])[]): string {
  return all
    .filter(([, entries]) => entries.length > 0)
    .map(([name, entries]) => `[${name}]\n${entries.map(([key, value]) => `${key}=${value}\n`).join('')}`)
    .join('\n');
}
