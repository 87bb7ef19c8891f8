/** Whoever is asked for ranges, one member or all together, and how: in lanes, one range at a time in each. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ByteRange } from '../base/byte-range.ts';
import type { TimedAnswer, TimedRead } from '../members/index.ts';
import type { Faults } from './faults.ts';

export interface Lane {
  /** @throws MemberFault, OutageError; the reason of `signal` */
  read(range: ByteRange, options: TimedRead): Promise<TimedAnswer>;
  close(): void;
}

/** One whose connection stands. */
export interface StandingLane extends Lane {
  /** The answer that had to wait for it. */
  readonly opening: TimedAnswer;
}

export interface Place {
  /** Bytes of the image. */
  readonly imageSize: number;
  /** Bytes of the longest range that may be asked for. */
  readonly longestRange: number;
  /** @throws MemberFault */
  lane(): Promise<Lane>;
}

export interface LaneOptions {
  readonly faults: Faults;
  /** Nobody wants it any more. */
  readonly signal: AbortSignal;
  /** It takes too long: what is under way then is a fault, and nothing is asked any more. */
  readonly late?: AbortSignal | undefined;
  /** A lane has had so many errors in a row that it asks no more. */
  readonly onGivenUp?: ((index: number) => void) | undefined;
}

/** So many errors in a row in one lane, and it asks no more. */
const patience = 3;
const afterErrorMs = 200;

/**
 * Runs `count` lanes: once all of them stand, each asks, and again as soon as it was answered, until `ask` says that it was the last time; `signal` is what ends its read. Ends when all have ended;
 * errors are counted, and those of `signal` are none.
 */
export async function inLanes(
  count: number,
  place: Place,
  { faults, signal, late, onGivenUp }: LaneOptions,
  ask: (lane: StandingLane, index: number, signal: AbortSignal) => Promise<boolean>,
): Promise<void> {
  const all = anyOf(signal, late);
  const opened = await Promise.all(Array.from({ length: count }, () => attempt(() => standing(place, all))));
  await Promise.all(opened.map(run));

  async function run(first: StandingLane | undefined, index: number): Promise<void> {
    let lane = first;
    let errors = first === undefined ? 1 : 0;
    while (errors < patience && !all.aborted) {
      lane ??= await attempt(() => standing(place, all));
      const asked = lane;
      const more = asked && (await attempt(() => ask(asked, index, all)));
      if (more === false) break;
      errors = more === undefined ? errors + 1 : 0;
      if (more === true) continue;
      lane?.close();
      lane = undefined;
      await sleep(afterErrorMs, undefined, { signal: all }).catch(() => {});
    }
    lane?.close();
    if (errors >= patience) onGivenUp?.(index);
  }

  async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!signal.aborted) faults.add(error);
      return undefined;
    }
  }
}

async function standing(place: Place, signal: AbortSignal): Promise<StandingLane> {
  const lane = await unlessAborted(signal, place.lane());
  try {
    const opening = await lane.read({ offset: 0, length: 1 }, { signal });
    return { opening, read: lane.read.bind(lane), close: lane.close.bind(lane) };
  } catch (error) {
    lane.close();
    throw error;
  }
}

/** Aborts with the first of them; as many as need to may listen. */
export function anyOf(...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  const all = AbortSignal.any(signals.filter((one) => one !== undefined));
  setMaxListeners(0, all);
  return all;
}

/** What `signal` ends is waited for no longer. @throws the reason of `signal` */
export function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort);
  return Promise.race([work, promise]).finally(() => signal.removeEventListener('abort', onAbort));
}

/** Where a page of the image begins. */
const step = 4_096;

/** At random: neither a server's read-ahead nor its caches are to know the next. */
export function randomRange({ imageSize }: Place, size: number): ByteRange {
  const length = Math.min(size, imageSize);
  const places = Math.floor((imageSize - length) / step) + 1;
  return { offset: Math.floor(Math.random() * places) * step, length };
}
