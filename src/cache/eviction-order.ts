/**
 * The order in which chunks leave the arena: least recently published or refused first (lru-cache keeps it). Native knows
 * which chunks are pinned or were read since, and may refuse a victim; a refused one goes to the back of the queue, so reads
 * that never enter JavaScript still count (the second chance of the CLOCK algorithm).
 */
import { LRUCache } from 'lru-cache';
import { type ChunkIndex, chunkIndex } from '../image/geometry.ts';
import { Evicted, type Store } from '../native/binding.ts';

export class EvictionOrder {
  readonly #store: Pick<Store, 'tryEvict'>;
  readonly #order: LRUCache<number, true>;

  /** @param slots slots of the arena: no more chunks than that are ever present. */
  constructor(store: Pick<Store, 'tryEvict'>, slots: number) {
    this.#store = store;
    this.#order = new LRUCache({ max: slots });
  }

  /** The chunk became readable. */
  published(chunk: ChunkIndex): void {
    this.#order.set(chunk, true);
  }

  /** The chunk is in no slot any more. */
  forget(chunk: ChunkIndex): void {
    this.#order.delete(chunk);
  }

  /** Evicts until no more than `count` chunks are left, or none that is not pinned. */
  shrinkTo(count: number): void {
    this.makeRoom(Math.max(0, this.#order.size - count));
  }

  /** Frees up to `count` slots; returns how many. Fewer only when every other chunk is pinned. */
  makeRoom(count: number): number {
    let freed = 0;
    // Twice round at most: the first round takes the reference from a chunk, the second finds it without.
    let patience = 2 * this.#order.size;
    while (freed < count && patience-- > 0) {
      const oldest = this.#order.rkeys().next();
      if (oldest.done) break;
      const victim = chunkIndex(oldest.value);
      const outcome = this.#store.tryEvict(victim);
      if (outcome === Evicted.pinned || outcome === Evicted.referenced) {
        this.#order.get(victim);
        continue;
      }
      this.#order.delete(victim);
      if (outcome === Evicted.yes) freed++;
    }
    return freed;
  }
}
