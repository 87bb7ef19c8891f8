/**
 * The slots that native has and has not settled yet: whose chunk they hold, and whom to blame when its bytes are wrong. A slot that native
 * found surplus is free at once and may be in use again, even with native again, before we hear of it: so an entry goes only when slot
 * *and* chunk are those it was made for.
 */
import type { ChunkIndex } from '../image/geometry.ts';
import type { AttemptVerdict } from '../members/contract.ts';

export class Settling {
  readonly #bySlot = new Map<number, { chunk: ChunkIndex; verdict: AttemptVerdict }>();

  /** The slot goes to native with all bytes of the chunk. */
  handedOver(chunk: ChunkIndex, slot: number, verdict: AttemptVerdict): void {
    this.#bySlot.set(slot, { chunk, verdict });
  }

  /** Native has settled it. @returns whom to tell when the bytes are wrong. */
  settled(chunk: ChunkIndex, slot: number): AttemptVerdict | undefined {
    const entry = this.#bySlot.get(slot);
    if (entry?.chunk !== chunk) return undefined;
    this.#bySlot.delete(slot);
    return entry.verdict;
  }
}
