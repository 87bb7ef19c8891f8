/**
 * A probe: does this member serve, and what? It asks on a fresh connection (the first time on the one that the sidecar came on, if it did)
 * for the first and the last bytes of the file, and for the range that was corrupt if one was. What a probe costs in time is all its steps' time, each under a stall clock.
 * With a digest the file of that name is asked for first, and the one in the URL only when that one is missing or wrong.
 * Without a digest a file that was modified this very second is asked again when the second is over: only then does its
 * pin tell it from what may be written next.
 */
import { type ByteRange, describeRange } from '../base/byte-range.ts';
import type { TimeSource } from '../base/time-source.ts';
import { collectRange } from './collect-range.ts';
import type { Connection, ConnectionPool } from './connections.ts';
import { stallAfter } from './deadlines.ts';
import { type FaultKind, MemberFault } from './errors.ts';
import { headRange, judge, type Observation, tailRange, type Verification } from './identity.ts';
import type { Member } from './member.ts';
import type { MemberUrl } from './member-url.ts';
import { patiently } from './patience.ts';
import type { RangeHead, RangeQuestion } from './range-request.ts';

/** A probe may wait longer for a sign of life than a read: no reader depends on it. */
const leastStallMs = 250;
/** One of its requests must be over by then, the first time. */
const limitMs = 5_000;
/** After this much, a file that was modified in the second of an answer has a pin that a change would change. */
const settleMs = 1_100;

/** Faults of a file, not of the server: it may have the image under another name. */
const faultsOfFile: ReadonlySet<FaultKind> = new Set<FaultKind>([
  ...(['busy', 'status', 'redirect', 'no-ranges', 'encoding', 'content-range'] as const),
  ...(['size', 'changed', 'corrupt'] as const),
]);

/**
 * What it serves under the first of its names that proves right; when none does, the most telling answer.
 * Begins no connection once `signal` is aborted. @throws MemberFault when it does not answer properly, or still serves what was corrupt.
 */
export async function probe(
  member: Member,
  time: TimeSource,
  verification: Verification | undefined,
  signal: AbortSignal,
): Promise<Observation> {
  await member.addresses.resolved();
  let told: Observation | MemberFault | undefined;
  for (const file of member.files) {
    const found = await probeFile(member, file, time, verification, signal).catch((error: unknown) => {
      if (error instanceof MemberFault && faultsOfFile.has(error.kind)) return error;
      throw error;
    });
    if (isImage(found, verification)) return found;
    // that it has no file of the digest's name tells the least
    if (told === undefined || (told instanceof MemberFault && told.kind === 'status')) told = found;
  }
  if (told === undefined) throw new Error('a member has no file to ask for');
  if (told instanceof MemberFault) throw told;
  return told;
}

/** Whether no other name can be better. Without a digest there is none. */
function isImage(found: Observation | MemberFault, verification: Verification | undefined): found is Observation {
  if (found instanceof MemberFault) return false;
  return verification === undefined || judge('', found, undefined, verification) === undefined;
}

async function probeFile(
  member: Member,
  file: MemberUrl,
  time: TimeSource,
  verification: Verification | undefined,
  signal: AbortSignal,
): Promise<Observation> {
  signal.throwIfAborted();
  const line = new Line(member);
  try {
    let { observation, settled } = await observe(member, file, line, time, verification);
    if (!settled && verification === undefined) {
      await new Promise<void>((resolve) => time.after(settleMs, resolve));
      signal.throwIfAborted();
      ({ observation } = await observe(member, file, line, time, verification));
    }
    line.giveBack();
    return observation;
  } catch (error) {
    line.discard();
    throw error;
  }
}

/** The requests of a probe, one after the other. */
class Line {
  readonly #pool: ConnectionPool;
  #connection: Connection;
  #used: boolean;

  constructor({ pool, pin }: Member) {
    this.#pool = pool;
    this.#connection = pin === undefined ? pool.take() : pool.takeFresh();
    this.#used = this.#connection.established;
  }

  /**
   * A server may close a connection between two requests (RFC 9112, 9.3), and one of several behind an address may be ill: after a good answer the next
   * request is made once more, on another connection.
   */
  async ask<T>(request: (connection: Connection) => Promise<T>): Promise<T> {
    const wasUsed = this.#used;
    this.#used = true;
    try {
      return await request(this.#connection);
    } catch (error) {
      const mayPass = error instanceof MemberFault && (error.kind === 'reset' || error.kind === 'busy');
      if (!wasUsed || !mayPass) throw error;
      this.discard();
      this.#connection = this.#pool.takeFresh();
      return request(this.#connection);
    }
  }

  giveBack(): void {
    this.#pool.giveBack(this.#connection);
  }

  discard(): void {
    this.#pool.discard(this.#connection);
  }
}

async function observe(
  member: Member,
  file: MemberUrl,
  line: Line,
  time: TimeSource,
  verification: Verification | undefined,
): Promise<{ observation: Observation; settled: boolean }> {
  const read = (range: ByteRange, known?: RangeHead) =>
    line.ask((connection) =>
      readRange(member, connection, time, {
        url: file,
        range,
        imageSize: known?.imageSize ?? verification?.imageSize,
        pin: known?.pin,
        verified: verification !== undefined,
      }),
    );

  const blockSize = verification?.blockSize ?? 1;
  const { head, bytes } = await read(headRange(blockSize));
  const last = tailRange(head.imageSize, blockSize);
  const tail = last.offset < bytes.length ? bytes.subarray(last.offset) : (await read(last, head)).bytes;
  const corrupt = member.corruptRange;
  if (corrupt !== undefined && verification !== undefined && head.imageSize === verification.imageSize) {
    const again = await read(corrupt, head);
    if (!verification.matches(corrupt, again.bytes)) {
      const what = `bytes ${describeRange(corrupt)} still do not match the digest`;
      throw new MemberFault('corrupt', member.url.text, what);
    }
  }
  return {
    observation: { file, imageSize: head.imageSize, head: bytes, tail, pin: head.pin, contentType: head.contentType },
    settled: head.settled,
  };
}

async function readRange(
  member: Member,
  connection: Connection,
  time: TimeSource,
  question: RangeQuestion,
): Promise<{ head: RangeHead; bytes: Uint8Array }> {
  const usual = { stallMs: Math.max(leastStallMs, stallAfter(member.speed.window)), limitMs };
  const deadlines = patiently(usual, member.probesTimedOut);
  const { head, bytes, firstByteMs } = await collectRange(connection, question, time, deadlines);
  member.speed.recordLatency(firstByteMs, time.now(), member.inFlight === 0);
  return { head, bytes };
}
