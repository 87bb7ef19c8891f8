/** What the network of the new root is to be, whoever sets it up there: from what a member says, and the devices that there are. */
import type { Deploycfg } from '../../protocol/deploycfg.ts';
import type { Netcfg, NetworkSaid } from '../../protocol/netcfg.ts';
import type { NetworkDevice } from '../devices.ts';

export type Device = Pick<NetworkDevice, 'name' | 'mac' | 'kind'>;

/** `none`: nothing is said of this family, and what it has by itself stays. */
export type Family =
  | { readonly method: 'none' | 'dhcp' }
  | { readonly method: 'static'; readonly address: string; readonly gateway?: string | undefined };

export interface Settings {
  ipv4: Family;
  ipv6: Family;
  /** Addresses. */
  nameservers: readonly string[];
  domains: readonly string[];
}

/** A device and what it is to have; a VLAN above one. */
export interface Link extends Settings {
  device: string;
  kind: Device['kind'];
  /** What the network is called by people; of no account to programs. */
  name: string;
  /** Whether the root comes over it. */
  isBoot: boolean;
  mtu: number | undefined;
  /** Undefined: it is the device itself. */
  vlan: { id: number; parent: string } | undefined;
}

export interface NetworkPlan {
  links: readonly Link[];
  /** What was said and cannot be: for people. */
  lacks: readonly string[];
}

export interface PlanFacts {
  netcfg: Netcfg;
  config: Pick<Deploycfg, 'nameservers' | 'dnsdomain'>;
  devices: readonly Device[];
  /** By which the members are reached; undefined when that is not known. */
  bootDevice: string | undefined;
}

export function planNetwork({ netcfg, config, devices, bootDevice }: PlanFacts): NetworkPlan {
  const links: Link[] = [];
  const lacks: string[] = [];
  const resolver = {
    nameservers: config.nameservers.filter((address) => address !== ''),
    domains: config.dnsdomain ? [config.dnsdomain] : [],
  };
  const networks: [string, NetworkSaid, boolean][] = [
    ['', netcfg.default, true],
    ...Object.entries(netcfg.extranets).map(([name, said]): [string, NetworkSaid, boolean] => [name, said, false]),
  ];
  for (const [name, said, isDefault] of networks) {
    const called = name === '' ? 'the network of the node' : `the network ${name}`;
    const [ipv4, ipv6] = [familyOf(said, 'ipv4'), familyOf(said, 'ipv6')];
    if (ipv4.method === 'none' && ipv6.method === 'none' && said.mtu === undefined && !isDefault) continue;
    if (said.team_mode) {
      lacks.push(`${called} is to be a team of devices, which is not set up`);
      continue;
    }
    const found = isDefault ? devices.find((one) => one.name === bootDevice) : deviceOf(said, devices);
    if (found === undefined) {
      lacks.push(
        `${called} has no device here: ${said.hwaddr ?? said.interface_names ?? 'say net.NAME.hwaddr or interface_names'}`,
      );
      continue;
    }
    if (isDefault && said.vlan_id !== undefined)
      lacks.push(
        `${called} is to be VLAN ${said.vlan_id}, and the node has booted by ${found.name} itself, which stays as it is`,
      );
    const vlan = isDefault || said.vlan_id === undefined ? undefined : { id: said.vlan_id, parent: found.name };
    const device = vlan === undefined ? found.name : vlanName(vlan);
    if (links.some((link) => link.device === device)) {
      lacks.push(`${called} is on ${device}, which another network has`);
      continue;
    }
    links.push({
      ...{ device, kind: found.kind, name: said.connection_name || name || device, ipv4, ipv6, vlan },
      ...{ isBoot: isDefault, mtu: said.mtu },
      ...(isDefault ? resolver : { nameservers: [], domains: [] }),
    });
  }
  return { links, lacks };
}

/** Devices that VLANs are above, and that have nothing themselves. */
export function bareCarriers({ links }: NetworkPlan): string[] {
  const carriers = new Set(links.flatMap(({ vlan }) => (vlan === undefined ? [] : [vlan.parent])));
  return [...carriers].filter((carrier) => !links.some(({ device }) => device === carrier));
}

function familyOf(said: NetworkSaid, family: 'ipv4' | 'ipv6'): Family {
  const method = said[`${family}_method`];
  const address = said[`${family}_address`];
  if (method === 'dhcp') return { method };
  if (address?.includes('/') !== true) return { method: 'none' };
  return { method: 'static', address, gateway: said[`${family}_gateway`] || undefined };
}

function deviceOf({ hwaddr, interface_names: names }: NetworkSaid, devices: readonly Device[]): Device | undefined {
  const [macs, wanted] = [words(hwaddr?.toLowerCase()), words(names)];
  return devices.find(({ mac }) => macs.includes(mac)) ?? devices.find(({ name }) => wanted.includes(name));
}

function words(text: string | null | undefined): string[] {
  return (text ?? '').split(/[\s,]+/).filter((word) => word !== '');
}

/** As the kernel takes names of devices (IFNAMSIZ). */
const longestName = 15;

function vlanName({ id, parent }: { id: number; parent: string }): string {
  const usual = `${parent}.${id}`;
  return usual.length <= longestName ? usual : `vlan${id}`;
}
