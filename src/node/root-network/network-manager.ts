/** NetworkManager's keyfiles, nm-settings-keyfile(5). Below /run: of this boot alone. */
import { createHash } from 'node:crypto';
import type { NetworkFile } from './managers.ts';
import type { Family, Link, NetworkPlan } from './plan.ts';

const directory = '/run/NetworkManager/system-connections';

export function networkManagerFiles({ links }: NetworkPlan): NetworkFile[] {
  return links.map((link) => ({
    path: `${directory}/tetherfs-${link.device}.nmconnection`,
    content: keyfile(link),
    // It reads no others.
    mode: 0o600,
  }));
}

type Section = Record<string, string | number | boolean | undefined>;

function keyfile(link: Link): string {
  const { device, kind, vlan, mtu, name } = link;
  const sections: Record<string, Section> = {
    connection: {
      id: name,
      uuid: uuidOf(device),
      type: vlan === undefined ? kind : 'vlan',
      'interface-name': device,
      'autoconnect-priority': 100,
      'wait-device-timeout': 60_000,
    },
    ...(vlan !== undefined && { vlan: { id: vlan.id, parent: vlan.parent, flags: 1 } }),
    ...(kind === 'infiniband' && vlan === undefined && { infiniband: { 'transport-mode': 'datagram', mtu } }),
    ...((kind === 'ethernet' || vlan !== undefined) && { ethernet: { mtu } }),
    ipv4: familySection(link.ipv4, link, 4),
    ipv6: { ...familySection(link.ipv6, link, 6), 'addr-gen-mode': 'eui64' },
  };
  return Object.entries(sections)
    .map(([section, values]) => [section, Object.entries(values).filter(([, value]) => value !== undefined)] as const)
    .filter(([, values]) => values.length > 0)
    .map(([section, values]) => `[${section}]\n${values.map(([key, value]) => `${key}=${value}\n`).join('')}`)
    .join('\n');
}

function familySection(family: Family, { nameservers, domains }: Link, version: 4 | 6): Section {
  const own = nameservers.filter((address) => address.includes(':') === (version === 6));
  const resolver = {
    dns: own.length === 0 ? undefined : `${own.join(';')};`,
    'dns-search': domains.length === 0 ? undefined : `${domains.join(';')};`,
  };
  switch (family.method) {
    case 'static': {
      const gateway = family.gateway === undefined ? '' : `,${family.gateway}`;
      return { method: 'manual', address1: family.address + gateway, 'may-fail': false, ...resolver };
    }
    case 'dhcp':
      return { method: version === 4 ? 'auto' : 'dhcp', 'may-fail': false, ...resolver };
    case 'none':
      // By itself it has link-local addresses, and what routers say.
      return version === 4 ? { method: 'disabled' } : { method: 'auto' };
  }
}

/** The same at each boot. */
function uuidOf(device: string): string {
  const hex = createHash('sha256').update(`tetherfs ${device}`).digest('hex');
  const parts = [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ];
  return parts.join('-');
}
