/**
 * Which addresses a node gets: its networks as the attributes `net.*` say them, and the one of them that it arrived by. Upstream's rules: a network of the
 * node that lies in a subnet of the interface that it asked us by is meant; else DHCP, if any of its networks says so; else the address that its name has.
 */
import { BlockList, isIP } from 'node:net';
import type { Attributes } from './attributes.ts';

export type AddressMethod = 'static' | 'dhcp' | 'firmwaredhcp' | 'firmwarenone';

export interface FamilySettings {
  method?: AddressMethod | undefined;
  /** Without bits. */
  address?: string | undefined;
  /** Bits of the subnet. */
  prefix?: number | undefined;
  gateway?: string | undefined;
}

export interface NodeNetwork {
  /** Empty for the one without a name. */
  name: string;
  ipv4: FamilySettings;
  ipv6: FamilySettings;
  hostnames: string[];
  /** `hwaddr`, `connection_name`, `interface_names`, `vlan_id`, `mtu`, `team_mode`: for the node. */
  other: Record<string, string>;
}

export function networksOf(attributes: Attributes): NodeNetwork[] {
  const networks = new Map<string, NodeNetwork>();
  for (const [attribute, value] of Object.entries(attributes)) {
    const [, name = '', field = ''] = /^net\.(?:([A-Za-z0-9_-]+)\.)?([a-z0-9_]+)$/.exec(attribute) ?? [];
    if (field === '' || value === '') continue;
    const network = networks.get(name) ?? { name, ipv4: {}, ipv6: {}, hostnames: [], other: {} };
    networks.set(name, network);
    const [, family = '', what = ''] = /^(ipv[46])_(method|address|gateway)$/.exec(field) ?? [];
    if (field === 'hostname') network.hostnames = value.split(/[\s,]+/).filter((word) => word !== '');
    else if (family === '') network.other[field] = value;
    else setFamily(family === 'ipv4' ? network.ipv4 : network.ipv6, what, value);
  }
  return [...networks.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function setFamily(settings: FamilySettings, what: string, value: string): void {
  if (what === 'gateway') settings.gateway = value;
  else if (what === 'method') settings.method = value as AddressMethod;
  else {
    const [address, bits] = value.split('/');
    settings.address = address;
    if (bits !== undefined) settings.prefix = Number(bits);
  }
}

/** An address of ours with its subnet. */
export interface LocalAddress {
  address: string;
  prefix: number;
}

export interface Arrival {
  ipv4: FamilySettings;
  ipv6: FamilySettings;
  /** Of ours, on the same subnet; undefined where there is none. */
  deployServer?: string | undefined;
  deployServerV6?: string | undefined;
  /** The network that was meant, if it is one of the node's. */
  network?: NodeNetwork | undefined;
}

export interface ArrivalFacts {
  attributes: Attributes;
  /** Of the interface by which the node asks. */
  local: readonly LocalAddress[];
  /** What the node's name resolves to. */
  resolved: readonly string[];
}

export function arrivalOf({ attributes, local, resolved }: ArrivalFacts): Arrival {
  const networks = networksOf(attributes);
  const bmc = attributes['hardwaremanagement.manager'];
  const usable = networks.filter(
    ({ ipv4, ipv6 }) => bmc === undefined || (ipv4.address !== bmc && ipv6.address !== bmc),
  );
  const v4 = familyOf(4, usable, local, resolved);
  const v6 = familyOf(6, usable, local, resolved);
  return {
    ipv4: v4.settings,
    ipv6: v6.settings,
    deployServer: v4.server,
    deployServerV6: v6.server,
    network: v4.network ?? v6.network,
  };
}

function familyOf(
  version: 4 | 6,
  networks: readonly NodeNetwork[],
  local: readonly LocalAddress[],
  resolved: readonly string[],
): { settings: FamilySettings; server?: string; network?: NodeNetwork } {
  const here = local.filter(({ address }) => isIP(address) === version && !isLinkLocal(address));
  const of = (network: NodeNetwork) => (version === 4 ? network.ipv4 : network.ipv6);
  for (const network of networks) {
    const settings = of(network);
    const ours = here.find((candidate) => settings.address !== undefined && contains(candidate, settings.address));
    if (ours === undefined) continue;
    // What the firmware has got by DHCP is the node's own from then on.
    const method = settings.method === 'dhcp' ? 'dhcp' : 'static';
    return { settings: { prefix: ours.prefix, ...settings, method }, server: ours.address, network };
  }
  const dynamic = networks.find((network) => of(network).method === 'dhcp');
  if (dynamic !== undefined)
    return { settings: { method: 'dhcp' }, ...(here[0] && { server: here[0].address }), network: dynamic };
  for (const address of resolved) {
    const ours = here.find((candidate) => isIP(address) === version && contains(candidate, address));
    if (ours !== undefined)
      return { settings: { method: 'static', address, prefix: ours.prefix }, server: ours.address };
  }
  return { settings: {} };
}

/** Whether `address` lies in the subnet. */
export function contains({ address: ours, prefix }: LocalAddress, address: string): boolean {
  const version = isIP(ours);
  if (version === 0 || isIP(address) !== version) return false;
  const subnet = new BlockList();
  const family = version === 4 ? 'ipv4' : 'ipv6';
  subnet.addSubnet(ours, prefix, family);
  return subnet.check(address, family);
}

export function isLinkLocal(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/i.test(address);
}

/** `255.255.255.0` for 24 bits. */
export function netmaskOf(prefix: number): string {
  const bits = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join('.');
}
