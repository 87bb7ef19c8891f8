/**
 * The addresses of one member. A name is looked up as the system does it (NSS, /etc/hosts) before the mount alone. From then on, in successors too,
 * and also where that has never succeeded, it is asked for by DNS queries of our own: NSS would load modules and read files from the
 * root filesystem that may stand on this very daemon. A refresh that fails keeps what is known.
 */
import { lookup, Resolver } from 'node:dns/promises';
import { errorCode } from '../base/errors.ts';
import type { TimeSource } from '../base/time-source.ts';
import { MemberFault } from './errors.ts';
import type { MemberUrl } from './member-url.ts';

/** A member that is probed again and again has its name asked for no more often than this. */
const refreshMs = 10_000;

export class Addresses {
  readonly #url: MemberUrl;
  readonly #time: TimeSource;
  /** Reads /etc/resolv.conf here, once. */
  readonly #resolver = new Resolver({ timeout: 1_000, tries: 2 });
  #addresses: readonly string[];
  #askedAt = Number.NEGATIVE_INFINITY;
  #bySystem = true;

  constructor(url: MemberUrl, time: TimeSource) {
    this.#url = url;
    this.#time = time;
    this.#addresses = url.address === undefined ? [] : [url.address];
  }

  /** Where to connect next. Callers have awaited `resolved`. */
  get current(): string {
    const [address] = this.#addresses;
    if (address === undefined) throw new Error(`${this.#url.text} is connected to before it was resolved`);
    return address;
  }

  /** All that are known, the next first: for a successor, which may have no other way to know them. */
  get known(): readonly string[] {
    return this.#addresses;
  }

  /** What a process before us knew. */
  recall(addresses: readonly string[]): void {
    if (this.#url.address === undefined && addresses.length > 0) this.#addresses = addresses;
  }

  /** There is a mount, or will be at any moment: the system is not asked any more. */
  leaveSystem(): void {
    this.#bySystem = false;
  }

  /** No connection to `address` came about: the next address has its turn. */
  failed(address: string): void {
    const [first, ...others] = this.#addresses;
    if (first === address) this.#addresses = [...others, first];
  }

  /** Resolves when there is an address. Starts a refresh in the background when one is due. @throws MemberFault */
  async resolved(): Promise<void> {
    if (this.#url.address !== undefined) return;
    if (this.#addresses.length > 0) {
      void this.#refresh();
      return;
    }
    let cause: unknown;
    if (this.#bySystem) cause = await this.#lookUp();
    else await this.#refresh();
    if (this.#addresses.length > 0) return;
    throw new MemberFault('resolve', this.#url.text, describeUnknown(this.#url.hostname, cause), { cause });
  }

  /** @returns why not. */
  async #lookUp(): Promise<unknown> {
    try {
      const found = await lookup(this.#url.hostname, { all: true });
      this.#addresses = found.map(({ address }) => address);
      this.#askedAt = this.#time.now();
      return undefined;
    } catch (error) {
      return error;
    }
  }

  async #refresh(): Promise<void> {
    if (this.#time.now() - this.#askedAt < refreshMs) return;
    this.#askedAt = this.#time.now();
    const { hostname } = this.#url;
    const answers = await Promise.allSettled([this.#resolver.resolve4(hostname), this.#resolver.resolve6(hostname)]);
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (found.length > 0) this.#addresses = found;
  }
}

/** getaddrinfo(3) tells whether somebody said so. */
function describeUnknown(hostname: string, cause: unknown): string {
  const nobody = ['EAI_AGAIN', 'ECONNREFUSED', 'ETIMEOUT', 'ESERVFAIL'].includes(errorCode(cause) ?? '');
  return nobody
    ? `the name ${hostname} cannot be looked up: no DNS server answers`
    : `the name ${hostname} has no address`;
}
