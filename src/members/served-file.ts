/**
 * One file on one server, and what lies beside it: before there are any members, and where no others count. With the members' strictness, trust and
 * words; one request at a time.
 */
import type { ByteRange } from '../base/byte-range.ts';
import type { FileUrl } from '../base/file-url.ts';
import type { TimeSource } from '../base/time-source.ts';
import { collectRange } from './collect-range.ts';
import { FetchFailedError, MemberFault } from './errors.ts';
import { Member } from './member.ts';
import { type MemberUrl, memberUrl } from './member-url.ts';
import { type Deadlines, patiently } from './patience.ts';
import { createTrust } from './trust.ts';
import { readWhole } from './whole-file.ts';

export interface ServedFileOptions {
  /** PEM certificates of the CAs to believe instead of the system's. */
  ca?: readonly string[] | undefined;
  time: TimeSource;
}

export interface SmallFileOptions extends ServedFileOptions {
  /** Longer files are refused. */
  maxBytes: number;
  /** How often it timed out before: it is waited for longer. */
  timedOut?: number;
}

/** In ms: nothing at all for the first, or not the whole by the second. Longer than with members: there is no other to ask. */
const deadlinesOfSmall = { stallMs: 5_000, limitMs: 30_000 };
const deadlinesOfRange = { stallMs: 30_000, limitMs: 600_000 };
/** A name's next address has its turn when the one before does not connect; a connection may have been closed meanwhile. */
const mostAttempts = 3;

/** @throws UsageError for a CA that is none, FetchFailedError with what failed. */
export async function fetchSmallFile(file: FileUrl, options: SmallFileOptions): Promise<Uint8Array> {
  await using served = new ServedFile(file, options);
  return await served.whole(options);
}

export class ServedFile implements AsyncDisposable {
  readonly #url: MemberUrl;
  readonly #member: Member;
  readonly #time: TimeSource;

  /** @throws UsageError for a CA that is none. */
  constructor(file: FileUrl, { ca, time }: ServedFileOptions) {
    this.#url = memberUrl(file);
    this.#time = time;
    this.#member = new Member(this.#url, time, this.#url.secure ? createTrust(ca) : undefined);
  }

  /** All of it. @throws FetchFailedError */
  whole({ maxBytes, timedOut = 0 }: Pick<SmallFileOptions, 'maxBytes' | 'timedOut'>): Promise<Uint8Array> {
    const never = new AbortController().signal;
    const deadlines = patiently(deadlinesOfSmall, timedOut);
    const question = { url: this.#url, suffix: '', maxBytes, deadlines };
    return this.#persist(
      () => readWhole(this.#member, question, this.#time, never),
      ({ kind }) => kind === 'connect',
    );
  }

  /**
   * What the file has of the range, and the size of the file.
   * @param size what it must be; undefined while it is not known. @throws FetchFailedError
   */
  read(range: ByteRange, size?: number): Promise<{ bytes: Uint8Array; size: number }> {
    return this.#persist(
      (timedOut) => this.#read(range, size, patiently(deadlinesOfRange, timedOut)),
      ({ transient }) => transient,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#member.pool.close();
  }

  async #read(range: ByteRange, size: number | undefined, deadlines: Deadlines) {
    const { addresses, pool } = this.#member;
    await addresses.resolved();
    const connection = pool.take();
    // A file that changes meanwhile is told by its size alone: what examines it has a digest, or is not that exact.
    const question = { url: this.#url, range, imageSize: size, verified: true };
    try {
      const { bytes, head } = await collectRange(connection, question, this.#time, deadlines);
      pool.giveBack(connection);
      return { bytes, size: head.imageSize };
    } catch (error) {
      pool.discard(connection);
      throw error;
    }
  }

  /** Tries again what may go well the next time. @throws FetchFailedError */
  async #persist<T>(attempt: (timedOut: number) => Promise<T>, isWorthIt: (fault: MemberFault) => boolean): Promise<T> {
    for (let attempts = 1, timedOut = 0; ; attempts++) {
      try {
        return await attempt(timedOut);
      } catch (error) {
        if (!(error instanceof MemberFault)) throw error;
        if (attempts === mostAttempts || !isWorthIt(error)) throw new FetchFailedError(this.#url.text, error);
        if (error.kind === 'timeout') timedOut++;
      }
    }
  }
}
