/** netplan(5). Below /run: of this boot alone, and read last. */
import { stringify } from 'yaml';
import type { NetworkFile } from './managers.ts';
import { bareCarriers, type Link, type NetworkPlan } from './plan.ts';

const path = '/run/netplan/90-tetherfs.yaml';

export function netplanFiles(plan: NetworkPlan): NetworkFile[] {
  const { links } = plan;
  const of = (chosen: readonly Link[]) => Object.fromEntries(chosen.map((link) => [link.device, settingsOf(link)]));
  const vlans = links.filter(({ vlan }) => vlan !== undefined);
  const devices = of(links.filter(({ vlan }) => vlan === undefined));
  const network = {
    version: 2,
    ethernets: { ...devices, ...Object.fromEntries(bareCarriers(plan).map((carrier) => [carrier, {}])) },
    ...(vlans.length > 0 && { vlans: of(vlans) }),
  };
  return [{ path, content: stringify({ network }), mode: 0o600 }];
}

function settingsOf({ ipv4, ipv6, mtu, vlan, nameservers, domains, isBoot }: Link): Record<string, unknown> {
  const [addresses, routes]: [string[], object[]] = [[], []];
  for (const family of [ipv4, ipv6]) {
    if (family.method !== 'static') continue;
    addresses.push(family.address);
    if (family.gateway !== undefined) routes.push({ to: 'default', via: family.gateway });
  }
  return {
    ...(vlan !== undefined && { id: vlan.id, link: vlan.parent }),
    dhcp4: ipv4.method === 'dhcp',
    dhcp6: ipv6.method === 'dhcp',
    ...(ipv4.method === 'dhcp' && { 'dhcp-identifier': 'mac' }),
    ...(addresses.length > 0 && { addresses }),
    ...(routes.length > 0 && { routes }),
    ...(mtu !== undefined && { mtu }),
    ...(nameservers.length + domains.length > 0 && { nameservers: { addresses: nameservers, search: domains } }),
    // The root comes by it.
    ...(isBoot && { critical: true }),
  };
}
