/**
 * Names of hosts, as this machine knows them (/etc/hosts, DNS). Where a name server does not answer, a look-up takes ten seconds and more and holds one of the few threads that files are
 * read by as well: so there are two at once at most, each is shared by all who ask for that name, and nobody waits long for it.
 */
import { lookup } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';

/** So long a node waits for what its name means, ms; it can do without. */
const patienceMs = 2_000;
/** So long it is believed, ms. */
const believedMs = 20_000;

export class HostNames {
  readonly #lookUp: (name: string) => Promise<string[]>;
  readonly #limited = pLimit(2);
  readonly #known = new LRUCache<string, Promise<string[]>>({ max: 10_000, ttl: believedMs });

  /** @param lookUp the addresses of a name; tests have another. */
  constructor(lookUp = lookUpHere) {
    this.#lookUp = lookUp;
  }

  /** The addresses that a name has; none where nobody knows it, or nobody has said so in time. */
  async addresses(name: string): Promise<string[]> {
    let found = this.#known.get(name);
    if (found === undefined) {
      found = this.#limited(() => this.#lookUp(name)).catch(() => []);
      this.#known.set(name, found);
    }
    return Promise.race([found, sleep(patienceMs, [], { ref: false })]);
  }
}

async function lookUpHere(name: string): Promise<string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}
