/**
 * Whether a key is a node's. crypt(3) is asked once a node and key; what it has said is known by a keyed digest from then on. Wrong
 * keys are counted by node and address, and too many of them are not looked at any more.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type GrantState, promoted } from './arming.ts';
import type { AttemptLimit } from './attempt-limit.ts';
import type { CryptTexts } from './crypt-text.ts';
import { grantsKey } from './keys.ts';
import { change, type Store } from './store/contract.ts';

/** Longer ones are nobody's. */
const longestKey = 48;
/** Keys that are known without asking: more than any site has nodes. */
const mostKnown = 100_000;
/** Comparisons that wait. More than that are asked to come again. */
const mostWaiting = 2_000;

export type KeyVerdict = 'right' | 'wrong' | 'later';

export interface NodeKeysParts {
  store: Store;
  attempts: AttemptLimit;
  texts: CryptTexts;
  /** Told when a candidate's key was used for the first time. */
  onPromoted: (node: string, peer: string) => void;
}

export class NodeKeys {
  readonly #store: Store;
  readonly #onPromoted: NodeKeysParts['onPromoted'];
  readonly #secret = randomBytes(32);
  /** By crypt text: the digest of the key that it is of. */
  readonly #known = new LRUCache<string, Buffer>({ max: mostKnown });
  readonly #attempts: AttemptLimit;
  readonly #texts: CryptTexts;
  readonly #underWay = new Map<string, Promise<string | undefined>>();

  constructor({ store, attempts, texts, onPromoted }: NodeKeysParts) {
    this.#store = store;
    this.#attempts = attempts;
    this.#texts = texts;
    this.#onPromoted = onPromoted;
  }

  async check(node: string, key: string, address: string): Promise<KeyVerdict> {
    if (key.length === 0 || key.length > longestKey) return 'wrong';
    const entry = await this.#store.get(grantsKey(node));
    const grants = entry?.value as GrantState | undefined;
    const hashes = [grants?.promoted, grants?.candidate?.hash].filter((hash) => hash !== undefined);
    if (hashes.length === 0) return 'wrong';
    const digest = createHmac('sha256', this.#secret).update(`${node}\0${key}`).digest();
    const known = hashes.find((hash) => this.#isKnown(hash, digest));
    if (known === undefined && (this.#attempts.isReached(node, address) || this.#texts.waiting >= mostWaiting))
      return 'later';
    const right = known ?? (await this.#compareOnce(digest, hashes, key, () => this.#attempts.count(node, address)));
    if (right === undefined) return 'wrong';
    if (known === undefined) this.#attempts.forgive(node, address);
    this.#known.set(right, digest);
    if (right === grants?.candidate?.hash) await this.#promote(node, right);
    return 'right';
  }

  #isKnown(hash: string, digest: Buffer): boolean {
    const known = this.#known.get(hash);
    return known !== undefined && timingSafeEqual(known, digest);
  }

  /** Those who show one key at once wait for one comparison. @param begin counts it, before it is known how it ends: many at once are many. */
  #compareOnce(digest: Buffer, hashes: readonly string[], key: string, begin: () => void): Promise<string | undefined> {
    const name = digest.toString('latin1') + hashes.join();
    const underWay = this.#underWay.get(name);
    if (underWay !== undefined) return underWay;
    begin();
    const comparing = this.#compare(hashes, key).finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, comparing);
    return comparing;
  }

  async #compare(hashes: readonly string[], key: string): Promise<string | undefined> {
    for (const hash of hashes) if (await this.#texts.isOf(hash, key)) return hash;
    return undefined;
  }

  async #promote(node: string, hash: string): Promise<void> {
    const key = grantsKey(node);
    const peer = await change(this.#store, async () => {
      const entry = await this.#store.get(key);
      const grants = (entry?.value ?? {}) as GrantState;
      if (grants.candidate?.hash !== hash) return { changes: [], result: undefined };
      const changes = [{ key, revision: entry?.revision ?? 0, value: promoted(grants) }];
      return { changes, result: grants.candidate.peer };
    });
    if (peer !== undefined) this.#onPromoted(node, peer);
  }
}
