/** `/etc/confluent/confluent.info` of a node: what it is called, and where its members are. Upstream's scripts read it, one fact a line. */

export interface ConfluentInfo {
  node: string;
  members: readonly KnownMember[];
}

export interface KnownMember {
  /** A zone is a number there: an index of the node's interfaces. */
  address: string;
  /** Of one that has been found: the index of its interface, and whether that is on the network where the node's name resolves. */
  found?: { interfaceIndex: string; isDefault: boolean };
}

export function formatConfluentInfo({ node, members }: ConfluentInfo): string {
  const lines = members.flatMap(({ address, found }) => [
    `MANAGER: ${address}`,
    ...(found ? [`EXTMGRINFO: ${address}|${found.interfaceIndex}|${found.isDefault ? 1 : 0}`] : []),
  ]);
  return [`NODENAME: ${node}`, ...lines, ''].join('\n');
}

/** Upstream's, too, which repeats itself. The addresses that are preferred come first. */
export function parseConfluentInfo(text: string): ConfluentInfo {
  const facts = text.split('\n').map((line) => /^([A-Z]+):\s*(\S+)/.exec(line) ?? []);
  const of = (fact: string) => facts.flatMap(([, name, value]) => (name === fact && value ? [value] : []));
  const found = of('EXTMGRINFO').map((value) => value.split('|'));
  const preferred = found.filter(([, , isDefault]) => isDefault === '1').map(([address = '']) => address);
  const addresses = new Set([...preferred, ...of('MANAGER'), ...found.map(([address = '']) => address)]);
  return { node: of('NODENAME')[0] ?? '', members: [...addresses].map((address) => ({ address })) };
}
