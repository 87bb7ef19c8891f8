/**
 * `/etc/confluent/confluent.info` of a node: what it is called, and where its members are. Upstream's scripts read it, one fact a line; its program that looks for members (copernicus) prints the
 * same.
 */

export interface ConfluentInfo {
  node: string;
  members: readonly KnownMember[];
}

export interface KnownMember {
  /** A zone is a number there: an index of the node's interfaces. */
  address: string;
  /** The member's own interface, by which it was asked; for link-local peers. */
  interfaceIndex?: number;
  /** Whether that is the network that the node's name lies in; undefined of one that nobody has looked for. */
  isDefault?: boolean;
}

export function formatConfluentInfo({ node, members }: ConfluentInfo): string {
  return [`NODENAME: ${node}`, ...members.flatMap(linesOf), ''].join('\n');
}

/** What each member has answered who was found: a name where it changes. */
export function formatAnswers(answers: readonly (KnownMember & { node: string })[]): string {
  const lines = answers.flatMap((answer, index) => [
    ...(answer.node === answers[index - 1]?.node ? [] : [`NODENAME: ${answer.node}`]),
    ...linesOf(answer),
  ]);
  return lines.map((line) => `${line}\n`).join('');
}

function linesOf({ address, interfaceIndex, isDefault }: KnownMember): string[] {
  const isExtended = address.includes(':') && isDefault !== undefined;
  return [
    `MANAGER: ${address}`,
    ...(isExtended ? [`EXTMGRINFO: ${address}|${interfaceIndex ?? ''}|${isDefault ? 1 : 0}`] : []),
  ];
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
