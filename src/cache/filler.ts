/**
 * Fills the RAM file: goes through the image in order, again and again, moves what lies in slots, has the rest fetched, until nothing is
 * missing. A member that fails is the collective's business; what did not come this time comes in the next round.
 */
import type { TimeSource } from '../base/time-source.ts';
import { type ChunkIndex, chunkIndex, type ImageGeometry } from '../image/geometry.ts';
import type { Store } from '../native/binding.ts';
import type { ChunkLoader } from './chunk-loader.ts';
import type { Pace, Pause } from './pace.ts';
import { chunksOf, cut, type Span } from './spans.ts';

export interface FillerParts {
  store: Pick<Store, 'moveToRam'>;
  geometry: ImageGeometry;
  loader: Pick<ChunkLoader, 'inRam' | 'prefetch'>;
  pace: Pace;
  time: TimeSource;
}

/** How often a pause is looked at again, in ms. */
const lookAgainMs = 20;
/** After a request that brought nothing (an outage, no free slot), in ms. */
const vainMs = 100;

export class Filler {
  readonly #parts: FillerParts;
  readonly #underWay = new Set<Promise<void>>();
  #pause: Pause | undefined;
  #notBefore = 0;
  #stopped = false;
  readonly #stop = Promise.withResolvers<void>();

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
    const { geometry, loader, pace, time } = this.#parts;
    const whole = { first: chunkIndex(0), count: geometry.chunkCount };
    const pieces = cut(whole, Math.max(1, pace.spanBytes / geometry.chunkSize));
    while (!this.#stopped && loader.inRam.size < geometry.chunkCount) {
      for (const piece of pieces) {
        if (this.#missing(piece).length === 0) continue;
        await this.#turn();
        if (this.#stopped) break;
        this.#get(piece);
      }
      await Promise.race([Promise.all(this.#underWay), this.#stop.promise]);
      if (loader.inRam.size < geometry.chunkCount) await sleep(time, lookAgainMs);
    }
    return !this.#stopped;
  }

  stop(): void {
    this.#stopped = true;
    this.#stop.resolve();
  }

  /** What is neither in the RAM file nor could be moved into it now. */
  #missing(piece: Span): ChunkIndex[] {
    const { loader, store } = this.#parts;
    return chunksOf(piece).filter((chunk) => {
      if (loader.inRam.has(chunk)) return false;
      if (!store.moveToRam(chunk)) return true;
      loader.inRam.add(chunk);
      return false;
    });
  }

  #get(piece: Span): void {
    const { geometry, loader, pace, time } = this.#parts;
    const wanted = this.#missing(piece);
    pace.asked(wanted.length * geometry.chunkSize);
    const got = loader.prefetch(piece).then(() => {
      this.#underWay.delete(got);
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
      await Promise.race([sleep(time, lookAgainMs), ...this.#underWay]);
    }
  }
}

function sleep(time: TimeSource, ms: number): Promise<void> {
  return new Promise((resolve) => time.after(ms, resolve));
}
