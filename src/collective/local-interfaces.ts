/** The member's own addresses, as they are at this moment: who is near, and by which of its networks a node came. */
import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { contains, isLinkLocal, type LocalAddress } from './node-networks.ts';

export interface Interface {
  name: string;
  /** The kernel's number of it; undefined where it has no link-local address, by which alone it is asked for. */
  index: number | undefined;
  addresses: LocalAddress[];
  isLoopback: boolean;
}

/** Looked up again after this, ms: a request must not cost a walk through all of them. */
const freshMs = 2_000;

export class LocalInterfaces {
  #found: Interface[] = [];
  #lookedAt = Number.NEGATIVE_INFINITY;

  list(): Interface[] {
    if (performance.now() - this.#lookedAt < freshMs) return this.#found;
    this.#lookedAt = performance.now();
    this.#found = Object.entries(networkInterfaces()).map(([name, addresses = []]) => ({
      name,
      index: addresses.find((one) => one.family === 'IPv6' && one.scopeid !== 0)?.scopeid,
      isLoopback: addresses.some(({ internal }) => internal),
      addresses: addresses.map(({ address, cidr }) => ({
        address,
        prefix: Number(cidr?.split('/')[1] ?? (isIP(address) === 4 ? 32 : 128)),
      })),
    }));
    return this.#found;
  }

  /** All of the interface that has this one, or on whose subnet it is: a balancer's, say. */
  beside(address: string): LocalAddress[] {
    const all = this.list();
    const found =
      all.find(({ addresses }) => addresses.some((ours) => ours.address === address)) ??
      all.find(({ addresses }) => addresses.some((ours) => contains(ours, address)));
    return found?.addresses ?? [];
  }

  /** By its number, as the kernel has it; a name stays one. */
  nameOf(given: string): string {
    if (!/^\d+$/.test(given)) return given;
    return this.list().find(({ index }) => index === Number(given))?.name ?? '';
  }

  indexOf(name: string): number | undefined {
    return this.list().find((candidate) => candidate.name === name)?.index;
  }

  /** Of the interface with that name. */
  of(name: string): LocalAddress[] {
    return this.list().find((candidate) => candidate.name === name)?.addresses ?? [];
  }

  /** Link-local, or on one of our subnets. */
  isNear(address: string): boolean {
    if (isLinkLocal(address)) return true;
    return this.list().some(({ addresses }) => addresses.some((ours) => contains(ours, address)));
  }

  /** For certificates and for nodes: no loopback. */
  ownAddresses(): string[] {
    return this.list()
      .filter(({ isLoopback }) => !isLoopback)
      .flatMap(({ addresses }) => addresses.map(({ address }) => address));
  }
}

/** Whether the address lies in one of these (`10.1.0.0/16`, or an address alone). */
export function liesIn(address: string, subnets: readonly string[]): boolean {
  const version = isIP(address);
  if (version === 0) return false;
  const family = (text: string) => (isIP(text) === 4 ? 'ipv4' : 'ipv6');
  const list = new BlockList();
  for (const subnet of subnets) {
    const [network = '', bits] = subnet.split('/');
    if (bits === undefined) list.addAddress(network, family(network));
    else list.addSubnet(network, Number(bits), family(network));
  }
  return list.check(address, family(address));
}
