/** Names of hosts, as this machine knows them. */
import { lookup } from 'node:dns/promises';

/** The addresses that a name has; none where nobody knows it. */
export async function resolveName(name: string): Promise<string[]> {
  const found = await lookup(name, { all: true }).catch(() => []);
  return found.map(({ address }) => address);
}
