/** hosts(5) of the site in a node's own, as confluent has it: a line of the site's takes the place of the node's that has its address or one of its names; the others are added. */

interface HostLine {
  text: string;
  address: string | undefined;
  names: readonly string[];
}

export function mergeHosts(own: string, given: string): string {
  const ofSite = parse(given);
  const waiting = [...ofSite];
  const lines = parse(own).flatMap((line) => {
    const same = waiting.findIndex((other) => isSame(line, other));
    if (same >= 0) return waiting.splice(same, 1);
    // Its place was taken by another line of the site's already.
    return ofSite.some((other) => isSame(line, other)) ? [] : [line];
  });
  return [...lines, ...waiting].map(({ text }) => `${text}\n`).join('');
}

function isSame(a: HostLine, b: HostLine): boolean {
  if (a.address === undefined || b.address === undefined) return false;
  if (a.address === b.address) return true;
  // A name has an address of either family.
  return a.address.includes(':') === b.address.includes(':') && a.names.some((name) => b.names.includes(name));
}

function parse(text: string): HostLine[] {
  const trimmed = text.trimEnd();
  const lines = trimmed === '' ? [] : trimmed.split('\n');
  return lines.map((line) => {
    const [address, ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    return { text: line, address: address || undefined, names };
  });
}
