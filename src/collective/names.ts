/** What a node may be called, in certificates and lists: its name, with its domain, by its networks' names; and its addresses. No names of loopback. */
import { type Attributes, listed } from './attributes.ts';
import { networksOf } from './node-networks.ts';

export function namesOf(node: string, attributes: Attributes): string[] {
  const domain = attributes['dns.domain'];
  const own = [node, ...networksOf(attributes).flatMap(({ hostnames }) => hostnames)];
  const full = own.flatMap((name) =>
    domain === undefined || name.endsWith(`.${domain}`) ? [name] : [name, `${name}.${domain}`],
  );
  return [...new Set(full)];
}

/** Without bits; not its BMC's. */
export function addressesOf(attributes: Attributes): string[] {
  const bmc = attributes['hardwaremanagement.manager'];
  const all = networksOf(attributes).flatMap(({ ipv4, ipv6 }) => [ipv4.address, ipv6.address]);
  return [...new Set(all.filter((address) => address !== undefined && address !== bmc))] as string[];
}

/**
 * For certificates: also the address that it asks from, unless that is loopback's, which is everybody's, or another node's. @param others attributes of the others.
 */
export function certifiedAddresses(attributes: Attributes, from: string, others: readonly Attributes[]): string[] {
  const own = addressesOf(attributes);
  const isForeign = /^(?:127\.|::1$)/.test(from) || others.some((other) => addressesOf(other).includes(from));
  return [...new Set([...own, ...(isForeign ? [] : [from])])];
}

/** Nodes that may log in to this one. */
export function trustedNodes(attributes: Attributes): string[] | undefined {
  const named = listed(attributes['ssh.trustnodes']);
  return named.length > 0 ? named : undefined;
}
