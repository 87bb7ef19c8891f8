/**
 * What the rest of the house asks of the members, and what the members ask of it. The collective fetches byte ranges of the
 * image from whichever members are healthiest; where the bytes go is the target's business.
 */
import type { ByteRange } from '../base/byte-range.ts';
import type { FileUrl } from '../base/file-url.ts';
import type { MemberMemory } from './member-memory.ts';

/** Somebody waits (`demand`), or somebody may want it soon (`prefetch`). */
export type FetchPriority = 'demand' | 'prefetch';

/** Takes the bytes of one attempt, in order, each byte once. */
export interface AttemptSink {
  /** The next bytes. Copied before it returns: the view is dead afterwards. */
  write(bytes: Uint8Array): void;
  /** No more bytes come: complete, cancelled or failed. Storage of unfinished chunks is free again. Called exactly once. */
  close(): void;
}

/** How the target tells a fetch what became of the bytes of an attempt. */
export interface AttemptVerdict {
  /** The digest says that this attempt's bytes are wrong: its member is corrupt. May come after `close`. */
  corrupt(range: ByteRange): void;
}

/** Where a fetch's bytes go. Made by the cache. Knows which chunks of the span are still missing. */
export interface FetchTarget {
  /** What is still missing, from its first byte to its last, on chunk borders (or the image's end); undefined when all is published. */
  missing(): ByteRange | undefined;
  /** Storage for one more attempt at `range`; undefined when none is to spare. */
  open(range: ByteRange, verdict: AttemptVerdict): AttemptSink | undefined;
}

export interface SpanFetch {
  /** Somebody waits for it now: it gets demand's deadlines. */
  promote(): void;
  /** Nobody wants it any more. `done` rejects with FetchCancelled, unless it is settled already. */
  cancel(): void;
  /** The target's `missing()` may have changed because of verified chunks: call it after each. */
  progressed(): void;
  /**
   * Resolves when nothing is missing any more. Rejects with OutageError (a prefetch at once, a demand only when
   * `--on-outage eio` and its timeout ran out) or FetchCancelled.
   */
  readonly done: Promise<void>;
}

export const memberStates = ['up', 'suspect', 'down', 'stale', 'corrupt'] as const;
export type MemberState = (typeof memberStates)[number];

/** A snapshot of one member, for status and metrics. Times in ms, rates in bytes a second. */
export interface MemberStatus {
  url: string;
  /** Name of the file it is asked for: the URL's, or that of the digest. */
  file: string;
  state: MemberState;
  /** Why it is not `up`; empty when it is. */
  reason: string;
  /** How long it has been in this state. */
  sinceMs: number;
  /** Expected time for the next 64 KiB, queue included. */
  scoreMs: number;
  /** Time to first byte of recent requests; undefined before the first. */
  latencyP50Ms: number | undefined;
  latencyP99Ms: number | undefined;
  throughput: number;
  inFlight: number;
  connections: number;
  requests: number;
  bytes: number;
  /** Failed attempts by cause, e.g. `connect`, `timeout`, `status`, `short-body`, `content-range`, `corrupt`. */
  errors: Record<string, number>;
  /** Hedges sent to this member, and those whose bytes came first. */
  hedges: number;
  hedgesWon: number;
}

export interface CollectiveStatus {
  members: MemberStatus[];
  /** Bytes received that nobody used: losers of hedges, cancelled tails. */
  bytesWasted: number;
  /** ms since the last time any member was usable; 0 while one is. */
  outageMs: number;
  demandInFlight: number;
  prefetchInFlight: number;
}

/** Tells by the first bytes of a file whether it can be the right one. */
export interface FileJudge {
  readonly headBytes: number;
  /** How long the whole file must be. @throws what describes why it cannot be the right one. */
  lengthBy(head: Uint8Array): number;
}

/** A small file beside the image on every member. */
export interface Sidecar<T> {
  /** What is appended to the image's path. */
  readonly suffix: string;
  /** Longer files are refused. */
  readonly maxBytes: number;
  /** What its first bytes tell, before the others are taken. */
  readonly judge?: FileJudge | undefined;
  /** Makes of the file what it is good for. @throws when it is not valid. */
  accept(bytes: Uint8Array): T;
}

export type SidecarResult<T> =
  | { readonly accepted: T }
  | {
      /** Why each member's was not, by URL. */
      readonly refusals: ReadonlyMap<string, string>;
      /** Whether every member answered: asking again would not help. */
      readonly final: boolean;
      /** One that answers has no such file. */
      readonly missing: boolean;
    };

/** What a running daemon cannot find out of those that come: the machine's root may stand on it. */
export interface NewMemberFacts {
  /** Addresses of their names, by URL as given. */
  readonly addresses?: Readonly<Record<string, readonly string[]>> | undefined;
  /** PEM certificates of the CAs to believe, when none was needed before. */
  readonly ca?: readonly string[] | undefined;
}

/** URLs, as they are shown. */
export interface MemberChange {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

export interface Collective {
  /** Starts getting `span`. Never throws; failures come through `done`. */
  fetch(span: ByteRange, priority: FetchPriority, target: FetchTarget): SpanFetch;
  /**
   * One pass over the members, the healthiest first, for a file beside the image. On connections of its own, without a trace in the
   * members' health; ends without a file on `rest` and `close`.
   */
  sidecar<T>(sidecar: Sidecar<T>): Promise<SidecarResult<T>>;
  /**
   * Nothing is needed from the members any more: prefetches are cancelled, every connection is closed, nobody is probed. Where a reader
   * waits, that is served first. The next `fetch` or `sidecar` ends the rest: every member is probed again, also those that were up.
   */
  rest(): void;
  /**
   * The members answer distinctly slower than they usually do, or none is usable: work that nobody waits for should pause. The rule is
   * slowness.ts's. It hears only requests that were alone on their member, so several always under way at one member tell nothing.
   */
  readonly busy: boolean;
  /** Ends a rest and asks every member anew: whether one shows the image within so many ms. */
  confirm(withinMs: number): Promise<boolean>;
  /** How many members may serve now. */
  readonly usableMembers: number;
  /** Spans that it makes sense to have in flight at once as prefetch, from what the members deliver. At least 1. */
  readonly suggestedPrefetchSpans: number;
  /** ms there and back, of the nearest usable member; infinite when there is none. */
  readonly roundTripMs: number;
  /** Bytes that all usable members together could deliver in the time that one waits for the first byte of an answer. */
  readonly bytesInRoundTrip: number;
  status(): CollectiveStatus;
  /**
   * From now on these are the members, in this order. Those that stay keep all that is known of them; those that come are asked who they are, and used
   * when they have shown the image; what is under way at those that go is asked of others. None is changed when it throws.
   * @throws UsageError for a CA that is none.
   */
  replaceMembers(urls: readonly FileUrl[], facts?: NewMemberFacts): MemberChange;
  /** What is known of each member, for a successor. */
  readonly memory: MemberMemory[];
  close(): Promise<void>;
}
