/** hosts(5): a node finds itself by its name, also where no name server knows it. */

export interface OwnName {
  node: string;
  /** Undefined: it has no address of its own yet. */
  address: string | undefined;
  domain: string | undefined;
}

/** As Debian has it for a machine without a fixed address. */
const instead = '127.0.1.1';

export function withOwnName(hosts: string | undefined, { node, address, domain }: OwnName): string {
  const lines = (hosts ?? '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n').split('\n');
  const isThere = lines.some((line) => line.replace(/#.*/, '').split(/\s+/).slice(1).includes(node));
  if (isThere) return lines.join('\n');
  const [short = node] = node.split('.');
  const full = domain === undefined || node.includes('.') ? undefined : `${node}.${domain}`;
  const names = [...new Set([full, node, short])].filter((name) => name !== undefined);
  return `${lines.join('\n').trimEnd()}\n${address ?? instead} ${names.join(' ')}\n`;
}
