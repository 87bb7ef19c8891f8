/**
 * Fills the RAM file: goes through the image in order, again and again, moves what lies in slots, has the rest fetched, until nothing is
 * missing. A member that fails is the collective's business; what did not come this time comes in the next round.
 */
import type { TimeSource } from '../base/time-source.ts';
import { type ChunkIndex, chunkIndex, type ImageGeometry } from '../image/geometry.ts';
import type { ChunkLoader } from './chunk-loader.ts';
import type { Pace, Pause } from './pace.ts';
import { chunksOf, cut, type Span } from './spans.ts';

export interface FillerParts {
  geometry: ImageGeometry;
  loader: Pick<ChunkLoader, 'inRam' | 'moveToRam' | 'prefetch'>;
  pace: Pace;
  time: TimeSource;
}

/** How often a pause is looked at again, in ms. */
const lookAgainMs = 20;
/** After a request that brought nothing (an outage, no free slot), in ms. */
const vainMs = 100;
/** So many spans are moved from slots before readers get their turn. */
const movesAtOnce = 8;

export class Filler {
  readonly #parts: FillerParts;
  readonly #underWay = new Set<Promise<void>>();
  #pause: Pause | undefined;
  #notBefore = 0;
  #stopped = false;
  /** Ends a rest before its time. */
  #wake = () => {};

  constructor(parts: FillerParts) {
    this.#parts = parts;
  }

  /** Why nothing is being asked for; undefined while something is. */
  get pause(): Pause | undefined {
    return this.#pause;
  }

  /**
   * Resolves with true once every chunk is in the RAM file, with false after `stop`: what is under way then still comes, because a reader may
   * wait for it by now, in an outage for long.
   */
  async run(): Promise<boolean> {
    const { geometry, loader, pace } = this.#parts;
    const whole = { first: chunkIndex(0), count: geometry.chunkCount };
    const pieces = cut(whole, Math.max(1, pace.spanBytes / geometry.chunkSize));
    while (!this.#stopped && loader.inRam.size < geometry.chunkCount) {
      let moves = 0;
      for (const piece of pieces) {
        const before = loader.inRam.size;
        if (this.#missing(piece).length > 0) {
          await this.#turn();
          if (this.#stopped) break;
          this.#get(piece);
        } else if (loader.inRam.size > before && ++moves % movesAtOnce === 0) {
          await this.#rest(0);
        }
      }
      while (this.#underWay.size > 0 && !this.#stopped) await this.#rest(lookAgainMs);
      if (loader.inRam.size < geometry.chunkCount && !this.#stopped) await this.#rest(lookAgainMs);
    }
    return !this.#stopped;
  }

  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  /** What is neither in the RAM file nor could be moved into it now. */
  #missing(piece: Span): ChunkIndex[] {
    const { loader } = this.#parts;
    return chunksOf(piece).filter((chunk) => !loader.inRam.has(chunk) && !loader.moveToRam(chunk));
  }

  #get(piece: Span): void {
    const { geometry, loader, pace, time } = this.#parts;
    const wanted = this.#missing(piece);
    pace.asked(wanted.length * geometry.chunkSize);
    const got = loader.prefetch(piece).then(() => {
      this.#underWay.delete(got);
      this.#wake();
      if (!wanted.some((chunk) => loader.inRam.has(chunk))) this.#notBefore = time.now() + vainMs;
    });
    this.#underWay.add(got);
  }

  /** Waits until the pace allows one more request. */
  async #turn(): Promise<void> {
    const { pace, time } = this.#parts;
    while (!this.#stopped) {
      const allowance = pace.allowance();
      this.#pause = typeof allowance === 'number' ? undefined : allowance;
      const most = typeof allowance === 'number' ? allowance : 0;
      if (this.#underWay.size < most && time.now() >= this.#notBefore) return;
      await this.#rest(lookAgainMs);
    }
  }

  /** Until something changes, `ms` at most. */
  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.time.after(ms, resolve);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}
