/**
 * Who am I, who are my members: asked of everybody near, on every network, by what the machine itself is known by (its UUID and the addresses of its network devices). Sockets around
 * protocol/discovery.ts.
 */
import { createSocket, type Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  discoveryGroups,
  discoveryPort,
  type Found,
  formatSearch,
  parseFound,
  type Search,
} from '../protocol/discovery.ts';
import { type NetworkDevice, networkDevices } from './devices.ts';
import { machineUuid } from './small-files.ts';

export interface FoundMember extends Found {
  /** With its zone, by name, when it is link-local. */
  address: string;
}

/** So long a first answer may take; and so long nobody must have answered for all to have, ms. */
const firstMs = 2_500;
const quietMs = 500;
/** Whoever goes on answering by new addresses is no member. */
const longestMs = 10_000;
const lookMs = 50;
const ping = Buffer.from('PING');

/**
 * Asks once. @param uuid of the site.
 * @returns who has answered: first whom the node's own network leads to, then whoever else, quickest first; none when nobody did, or there is no network to ask on.
 */
export async function discoverMembers(uuid: string | undefined, signal?: AbortSignal): Promise<FoundMember[]> {
  const question = formatSearch({ ...(uuid !== undefined && { confluentUuid: uuid }), names: ownNames() });
  const found = new Map<string, FoundMember>();
  let lastAt = 0;
  const sockets: Socket[] = [];
  try {
    for (const way of ways()) {
      const socket = await open(way).catch(() => undefined);
      if (socket === undefined) continue;
      sockets.push(socket);
      socket.on('message', (datagram, from) => {
        const answer = parseFound(datagram);
        if (answer === undefined || found.has(from.address)) return;
        found.set(from.address, { ...answer, address: from.address });
        lastAt = performance.now();
        // So that each of us knows the other's hardware address before it matters.
        socket.send(ping, from.port, from.address, () => {});
      });
      for (const target of way.targets) socket.send(question, discoveryPort, target, () => {});
    }
    const startedAt = performance.now();
    const isOver = () => {
      const now = performance.now();
      if (now - startedAt > longestMs) return true;
      return found.size === 0 ? now - startedAt > firstMs : now - lastAt > quietMs;
    };
    while (sockets.length > 0 && !isOver()) await sleep(lookMs, undefined, signal && { signal });
  } finally {
    for (const socket of sockets) socket.close();
  }
  return [...found.values()].sort((a, b) => Number(b.isDefault) - Number(a.isDefault));
}

/** A socket to ask from, and whom. */
interface Way {
  family: 'udp4' | 'udp6';
  /** Ours, that is asked from. */
  address: string;
  targets: string[];
  multicastInterface: string;
}

function ways(): Way[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.flatMap(({ internal, family, address, netmask, scopeid = 0 }): Way[] => {
      if (internal) return [];
      if (family === 'IPv4') {
        const targets = [discoveryGroups.ipv4, broadcastOf(address, netmask)];
        return [{ family: 'udp4', address, targets, multicastInterface: address }];
      }
      if (scopeid === 0) return [];
      const zone = `%${name}`;
      return [
        {
          family: 'udp6',
          address: address + zone,
          targets: [discoveryGroups.ipv6 + zone],
          multicastInterface: `::${zone}`,
        },
      ];
    }),
  );
}

function broadcastOf(address: string, netmask: string): string {
  const mask = netmask.split('.').map(Number);
  return address
    .split('.')
    .map((part, index) => Number(part) | (~(mask[index] ?? 255) & 255))
    .join('.');
}

/** From the port of discovery, which firewalls let answers through to; from any where somebody else has it. */
function open(way: Way): Promise<Socket> {
  return bound(way, discoveryPort).catch(() => bound(way, 0));
}

async function bound({ family, address, multicastInterface }: Way, port: number): Promise<Socket> {
  const socket = createSocket({ type: family, reuseAddr: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(port, address, resolve);
    });
    // Of datagrams that could not be sent: it is asked again.
    socket.on('error', () => {});
    socket.setMulticastInterface(multicastInterface);
    if (family === 'udp4') socket.setBroadcast(true);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Of an InfiniBand address its last eight bytes tell devices apart. */
const infinibandText = 8 * 3 - 1;

const weight = ({ isHardware, isUp }: NetworkDevice) => Number(isHardware) * 2 + Number(isUp);

/** What this machine is known by; devices that somebody could touch, and those that are on, before those that the kernel has made, of which there may be hundreds. */
export function ownNames(): Search['names'] {
  const uuid = machineUuid().toLowerCase();
  const devices = networkDevices().sort((a, b) => weight(b) - weight(a));
  const macs = devices.map(({ kind, mac }) => (kind === 'infiniband' ? mac.slice(-infinibandText) : mac));
  return [
    ...(uuid === '' ? [] : [{ kind: 'uuid' as const, value: uuid }]),
    ...macs.map((value) => ({ kind: 'mac' as const, value })),
  ];
}
