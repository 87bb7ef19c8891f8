/** The network of the new root: what the members say of it, told to whoever sets it up in the image. */
import { parseYaml } from '../../profile/index.ts';
import { type Netcfg, netcfgSchema } from '../../protocol/netcfg.ts';
import { networkDevices } from '../devices.ts';
import type { Enrolment } from '../enrol.ts';
import { RootTree } from '../identity/root-tree.ts';
import { managers } from '../root-network/managers.ts';
import { planNetwork } from '../root-network/plan.ts';
import { readOrNothing } from '../small-files.ts';
import type { BootConsole, Lack } from '../step.ts';
import { deviceWith, sourceAddress } from './network.ts';

export interface RootNetworkParts {
  /** The new root's real path. */
  root: string;
  /** Whose /run moves along to the new root. */
  machine?: string;
  enrolment: Enrolment;
  console: BootConsole;
  lack: Lack;
}

/** For the record of the boot. */
export interface RootNetwork {
  /** Who sets it up in the image; undefined: nobody. */
  by: string | undefined;
  devices: string[];
}

export async function setUpRootNetwork(parts: RootNetworkParts): Promise<RootNetwork> {
  const { root, machine = '/', enrolment, console, lack } = parts;
  const { config, members } = enrolment;
  const tree = new RootTree(root);
  const bootDevice = await deviceTo(members[0] ?? '');
  const devices = networkDevices().filter(({ isMade }) => !isMade);
  const plan = planNetwork({ netcfg: await netcfgOf(parts), config, devices, bootDevice });
  for (const what of plan.lacks) lack(what);
  const names = plan.links.map(({ device }) => device);
  const manager = await firstIn(tree);
  if (manager === undefined) {
    const words = `the image has none of ${managers.map(({ name }) => name).join(', ')}: ${names.join(', ')} of this node stay as the initramfs has set them up`;
    // An address for some time has to be asked for again.
    if (plan.links.some(({ ipv4, ipv6 }) => ipv4.method === 'dhcp' || ipv6.method === 'dhcp')) lack(words);
    else console.say(words);
    return { by: undefined, devices: names };
  }
  for (const { path, content, mode = 0o644 } of await manager.files(plan, tree)) {
    const at = path.startsWith('/run/') ? new RootTree(machine) : tree;
    await at.write(path, content, { mode });
  }
  if (!manager.resolves) await leaveResolver(tree, plan.links.flatMap(resolverLines));
  return { by: manager.name, devices: names };
}

async function firstIn(tree: RootTree) {
  for (const manager of managers) if (await manager.isIn(tree)) return manager;
  return undefined;
}

/** Where nobody says it, that of deploycfg: it has the one network that counts. */
async function netcfgOf({ enrolment, lack }: RootNetworkParts): Promise<Netcfg> {
  const networks = await enrolment.api.seek('netcfg', (body) =>
    netcfgSchema.parse(plain(parseYaml(body.toString('utf8'), 'netcfg'))),
  );
  if ('found' in networks) return networks.found;
  lack(`other networks of the node are not set up: ${networks.why}`);
  const { config } = enrolment;
  const withBits = (address?: string | null, bits?: number | null) => (address && bits ? `${address}/${bits}` : null);
  const own = {
    ipv4_method: config.ipv4_method,
    ipv4_address: withBits(config.ipv4_address, config.prefix),
    ipv4_gateway: config.ipv4_gateway,
    ipv6_method: config.ipv6_method,
    ipv6_address: withBits(config.ipv6_address, config.ipv6_prefix),
    ipv6_gateway: config.ipv6_gateway,
  };
  return { default: own, extranets: {} };
}

/** Maps of a parser as objects. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, one]) => [String(key), plain(one)]));
  return value;
}

/** The one by which that member is reached; undefined when it cannot be told. */
async function deviceTo(member: string): Promise<string | undefined> {
  const [, zone] = member.split('%');
  if (zone !== undefined) return zone;
  const source = await sourceAddress(member, discardPort).catch(() => undefined);
  return source && deviceWith(source);
}

/** Nothing is sent there. */
const discardPort = 9;

const resolver = '/etc/resolv.conf';

/** Where it is not somebody's already, who keeps it elsewhere and links to that. @param lines what is said; else what the initramfs was told. */
async function leaveResolver(tree: RootTree, lines: readonly string[]): Promise<void> {
  if (await tree.isLink(resolver)) return;
  const said = lines.length > 0 ? lines.map((line) => `${line}\n`).join('') : readOrNothing(resolver);
  if (/^nameserver /m.test(said)) await tree.write(resolver, said);
}

function resolverLines({ nameservers, domains }: { nameservers: readonly string[]; domains: readonly string[] }) {
  if (nameservers.length === 0) return [];
  const search = domains.length === 0 ? [] : [`search ${domains.join(' ')}`];
  return [...search, ...nameservers.map((address) => `nameserver ${address}`)];
}
