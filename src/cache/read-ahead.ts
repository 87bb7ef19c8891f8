/**
 * Read-ahead: guesses from the order of accesses what will be read next. Several streams are followed at once, as several
 * programs read at once.
 *
 * A stream earns what is got in advance for it, by being read in order and by the use of what was got in advance. While that is there when it is
 * wanted, it is replaced and no more; when a reader had to wait for it, or requests are small though the stream is long, twice as much is got the next
 * time. So a stream that jumps or ends leaves behind little, and at most about as much as it had used.
 *
 * Of far members, a round trip to whom takes as long as many chunks, waiting is what is dear, and bytes are cheap: it is twice and four times as much,
 * and as many as come in a part of a round trip are got on credit, as long as such guesses prove right.
 *
 * Pure: it is told accesses and answers with windows. Everything is counted in chunks.
 */
import { chunkIndex } from '../image/geometry.ts';
import type { Span } from './spans.ts';

export type Foreseen = 'not' | 'awaited' | 'there';

/** Neighbouring chunks that readers wanted. */
export interface Access extends Span {
  /** Whether they had been got in advance: they were there, or still on their way. */
  readonly foreseen: Foreseen;
}

export interface ReadAheadLimits {
  /** Chunks in the image. */
  chunkCount: number;
  /** Accesses this far off a stream are still in order: the kernel's own read-ahead has several reads under way. */
  slack: number;
  /** Streams followed at once; the one unused for longest makes room for a new one. */
  streams: number;
  /** Chunks of a usual request: a stream that is far ahead is not extended by less. */
  batch: number;
}

/** As things are at this moment. */
export interface Means {
  /** How far ahead of a reader to be at most. */
  widest: number;
  /** How many chunks may be got on credit: what comes while one waits for one. 0: the members are near. */
  onCredit: number;
}

interface Stream {
  /** The chunk after the last one accessed. */
  next: number;
  /** The chunk after the last one asked for in advance; >= next. */
  ahead: number;
  /** Chunks that it may still have in advance. */
  earned: number;
  /** Chunks read of it. */
  length: number;
}

/** An access so little ahead of a stream still continues it: the kernel's reads overtake each other, and a boot's files lie side by side. */
const gap = 4;
/** Chunks earned by each that is read in order without having been foreseen. Here and below: bench/boot.ts. */
const earnedInOrder = { near: 0.75, far: 0.5 };
/** Chunks earned by each that was foreseen. One: the distance stays; more: it grows as often as all of it was of use. */
const earnedForeseen = { near: { there: 1, awaited: 2 }, far: { there: 2, awaited: 4 } };
/** A stream of so many requests is long. */
const longRequests = 4;
/** Requests that a long stream is ahead at least. */
const leastAhead = 2;
/** So many guesses are remembered, about. */
const memory = 2_048;
/** Right guesses among all that are as good as all right. */
const goodShare = 0.5;

export class ReadAhead {
  readonly #limits: ReadAheadLimits;
  /** Most recently used last. */
  readonly #streams: Stream[] = [];
  #guessed = 0;
  #right = 0;

  constructor(limits: ReadAheadLimits) {
    this.#limits = limits;
  }

  /** A reader wanted `access`. Returns what to get in advance now: chunks not yet asked for by this stream, or undefined. */
  accessed(access: Access, { widest, onCredit }: Means): Span | undefined {
    const { chunkCount, batch } = this.#limits;
    const end = access.first + access.count;
    const { stream, known } = this.#take(access);
    this.#streams.push(stream);
    stream.length += access.count;
    const members = onCredit > 0 ? 'far' : 'near';
    if (access.foreseen !== 'not') {
      this.#right += access.count;
      const tooClose = stream.length >= longRequests * batch && stream.ahead - stream.next < leastAhead * batch;
      stream.earned += earnedForeseen[members][tooClose ? 'awaited' : access.foreseen] * access.count;
    } else if (known && end > stream.next) {
      stream.earned += earnedInOrder[members] * access.count;
    }
    stream.earned = Math.min(stream.earned, widest);
    stream.next = Math.max(stream.next, end);
    stream.ahead = Math.max(stream.ahead, stream.next);

    const from = stream.ahead;
    const distance = from - stream.next;
    const credit = known ? onCredit * this.#trust() - distance : 0;
    const room = Math.min(stream.next + widest, chunkCount) - from;
    const most = Math.min(room, Math.floor(Math.max(stream.earned, credit)));
    if (most < Math.max(1, Math.min(batch, distance, room))) return undefined;
    // Up to where requests meet, so that the next ones are whole.
    const count = most < batch ? most : most - ((from + most) % batch);
    stream.earned = Math.max(0, stream.earned - count);
    stream.ahead = from + count;
    this.#guess(count);
    return { first: chunkIndex(from), count };
  }

  /** Takes the stream that the access continues out of the list, or makes a new one. */
  #take(access: Span): { stream: Stream; known: boolean } {
    const index = this.#streams.findIndex(
      ({ next, ahead }) => access.first >= next - this.#limits.slack && access.first <= ahead + gap,
    );
    const [stream] = index >= 0 ? this.#streams.splice(index, 1) : [];
    if (stream !== undefined) return { stream, known: true };
    if (this.#streams.length >= this.#limits.streams) this.#streams.shift();
    const end = access.first + access.count;
    return { stream: { next: end, ahead: end, earned: 0, length: 0 }, known: false };
  }

  #guess(count: number): void {
    this.#guessed += count;
    if (this.#guessed < memory) return;
    this.#guessed /= 2;
    this.#right /= 2;
  }

  /** 1 as long as guesses are mostly right, or hardly any were made. */
  #trust(): number {
    const early = memory / 8;
    return Math.min(1, (this.#right + early * goodShare) / ((this.#guessed + early) * goodShare));
  }
}
