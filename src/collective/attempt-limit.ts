/** Wrong keys, proofs and unasked-for requests of one node from one address: after so many they are not looked at any more, for a minute. */
import { LRUCache } from 'lru-cache';

const most = 10;
const withinMs = 60_000;
/** Counted at once: whoever comes from everywhere pushes others out, and no more. */
const mostCounted = 10_000;

export class AttemptLimit {
  readonly #wrong = new LRUCache<string, number>({ max: mostCounted, ttl: withinMs, noUpdateTTL: true });

  isReached(node: string, address: string): boolean {
    return (this.#wrong.get(`${node} ${address}`) ?? 0) >= most;
  }

  /** What was counted was none. */
  forgive(node: string, address: string): void {
    const name = `${node} ${address}`;
    const wrong = this.#wrong.get(name) ?? 0;
    if (wrong > 0) this.#wrong.set(name, wrong - 1);
  }

  count(node: string, address: string): void {
    const name = `${node} ${address}`;
    this.#wrong.set(name, (this.#wrong.get(name) ?? 0) + 1);
  }
}
