/** systemd.network(5), systemd.netdev(5). Below /run: of this boot alone. */
import type { NetworkFile } from './managers.ts';
import { bareCarriers, type Family, type Link, type NetworkPlan } from './plan.ts';

const directory = '/run/systemd/network';
/** Before what an image has for all devices. */
const prefix = '05-tetherfs-';

export function networkdFiles(plan: NetworkPlan): NetworkFile[] {
  const { links } = plan;
  const above = (device: string) =>
    links.filter(({ vlan }) => vlan?.parent === device).map((link): Entry => ['VLAN', link.device]);
  const file = (device: string, kind: 'network' | 'netdev', content: string) => ({
    path: `${directory}/${prefix}${device}.${kind}`,
    content,
  });
  return [
    ...links.map((link) => file(link.device, 'network', networkOf(link, above(link.device)))),
    ...links.flatMap(({ device, vlan }) =>
      vlan === undefined ? [] : [file(device, 'netdev', vlanOf(device, vlan.id))],
    ),
    ...bareCarriers(plan).map((carrier) => file(carrier, 'network', carrierOf(carrier, above(carrier)))),
  ];
}

type Entry = [key: string, value: string];

function networkOf({ device, ipv4, ipv6, mtu, nameservers, domains, isBoot }: Link, above: readonly Entry[]): string {
  const families = [ipv4, ipv6];
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
        ['DHCP', dhcpOf(ipv4, ipv6)],
        ...nameservers.map((address): Entry => ['DNS', address]),
        ...domains.map((domain): Entry => ['Domains', domain]),
        ...above,
        // The root comes by what it has already.
        ...(isBoot ? [['KeepConfiguration', 'yes'] as Entry] : []),
      ],
    ],
    // As the initramfs has asked: it gets the same address.
    ['DHCPv4', ipv4.method === 'dhcp' ? [['ClientIdentifier', 'mac']] : []],
  ]);
}

function dhcpOf(ipv4: Family, ipv6: Family): string {
  if (ipv4.method === 'dhcp') return ipv6.method === 'dhcp' ? 'yes' : 'ipv4';
  return ipv6.method === 'dhcp' ? 'ipv6' : 'no';
}

function vlanOf(device: string, id: number): string {
  const netdev: Entry[] = [
    ['Name', device],
    ['Kind', 'vlan'],
  ];
  return sections([
    ['NetDev', netdev],
    ['VLAN', [['Id', String(id)]]],
  ]);
}

/** Of a device that carries others, and has nothing itself. */
function carrierOf(device: string, above: readonly Entry[]): string {
  return sections([
    ['Match', [['Name', device]]],
    ['Network', [['LinkLocalAddressing', 'no'], ...above]],
  ]);
}

function sections(all: readonly (readonly [name: string, entries: readonly Entry[]])[]): string {
  return all
    .filter(([, entries]) => entries.length > 0)
    .map(([name, entries]) => `[${name}]\n${entries.map(([key, value]) => `${key}=${value}\n`).join('')}`)
    .join('\n');
}
