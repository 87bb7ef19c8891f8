/**
 * UDP port 1900, where nodes ask who their members are: sockets around protocol/discovery.ts. Asked from the neighbourhood alone; a node that is known, and has a profile to boot or is of this
 * site, is answered from the socket that it asked.
 */
import type { RemoteInfo, Socket } from 'node:dgram';
import { describeError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { discoveryGroups, formatFound, parseSearch, present, type Search } from '../../protocol/discovery.ts';
import { plainAddress } from '../addresses.ts';
import { listed } from '../attributes.ts';
import type { HostNames } from '../host-names.ts';
import type { LocalInterfaces } from '../local-interfaces.ts';
import { addressesOf } from '../names.ts';
import { contains, isLinkLocal } from '../node-networks.ts';
import type { Nodes } from '../nodes.ts';
import type { SiteFacts } from '../site-facts.ts';

export interface DiscoveryParts {
  nodes: Nodes;
  interfaces: LocalInterfaces;
  hostNames: HostNames;
  site: SiteFacts;
  log: Log;
  onAnswered: () => void;
}

/** Interfaces come and go, and are none before they have a carrier: joined again and again, ms; well within the time that a node asks without a word. */
const rejoinMs = 5_000;
/** Questions that are looked at at once: more than that are not answered, and nodes ask again. */
const mostAtOnce = 200;

/** @param sockets IPv4's and IPv6's, bound. @returns what ends it, before they are closed. */
export function answerNodes(sockets: readonly Socket[], parts: DiscoveryParts): () => void {
  let underWay = 0;
  for (const socket of sockets) {
    socket.on('message', (datagram, from) => {
      const search = parseSearch(datagram);
      if (search === undefined || underWay >= mostAtOnce) return;
      underWay++;
      answer(search, from, parts)
        .then((reply) => {
          if (reply === undefined) return;
          parts.onAnswered();
          socket.send(reply, from.port, from.address, () => {});
        })
        .catch((error: unknown) => parts.log.error('a question of a node failed', { error: describeError(error) }))
        .finally(() => underWay--);
    });
  }
  const [ipv4, ipv6] = sockets;
  const join = () => {
    if (ipv4 !== undefined) joinIPv4(ipv4, parts.interfaces);
    if (ipv6 !== undefined) joinIPv6(ipv6, parts.interfaces);
  };
  join();
  const timer = setInterval(join, rejoinMs);
  timer.unref();
  return () => clearInterval(timer);
}

function joinIPv4(socket: Socket, interfaces: LocalInterfaces): void {
  const all = interfaces.list().flatMap(({ addresses }) => addresses.map(({ address }) => address));
  for (const address of all.filter((candidate) => candidate.includes('.'))) {
    quietly(() => socket.addMembership(discoveryGroups.ipv4, address));
  }
}

function joinIPv6(socket: Socket, interfaces: LocalInterfaces): void {
  for (const { name } of interfaces.list()) quietly(() => socket.addMembership(discoveryGroups.ipv6, `::%${name}`));
}

function quietly(join: () => void): void {
  try {
    join();
  } catch {
    // It may have been joined already; else it is tried again.
  }
}

/** Undefined for whoever gets none. */
async function answer(search: Search, from: RemoteInfo, parts: DiscoveryParts): Promise<Buffer | undefined> {
  const { interfaces, hostNames, site, nodes } = parts;
  const address = plainAddress(from.address);
  if (!interfaces.isNear(address)) return undefined;
  if (search.all) return present;
  const isOurs = search.confluentUuid === site.uuid;
  if (search.confluentUuid !== undefined && !isOurs) return undefined;
  const node = await firstKnown(search, nodes);
  const attributes = node === undefined ? undefined : await nodes.resolved(node);
  if (node === undefined || attributes === undefined) return undefined;
  if (!isOurs && attributes['deployment.pendingprofile'] === undefined) return undefined;
  const candidates = listed(attributes['collective.managercandidates']);
  if (candidates.length > 0 && !candidates.includes(site.member)) return undefined;
  const time = Date.now();
  if (!isLinkLocal(address)) return formatFound({ node, time, isDefault: false });
  // Which interface a link-local question came by is in its zone.
  const name = from.address.split('%')[1] ?? '';
  const own = addressesOf(attributes);
  const meant = own.length > 0 ? own : await hostNames.addresses(node);
  const isDefault = interfaces.of(name).some((ours) => meant.some((one) => contains(ours, one)));
  const interfaceIndex = interfaces.indexOf(name);
  return formatFound({ node, time, isDefault, ...(interfaceIndex !== undefined && { interfaceIndex }) });
}

async function firstKnown({ names }: Search, nodes: Nodes): Promise<string | undefined> {
  for (const { kind, value } of names) {
    const node = await nodes.find(kind, value);
    if (node !== undefined) return node;
  }
  return undefined;
}
