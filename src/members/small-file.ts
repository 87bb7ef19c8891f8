/** One small file from one URL, before there are any members: with their strictness, trust and deadlines. */
import type { FileUrl } from '../base/file-url.ts';
import type { TimeSource } from '../base/time-source.ts';
import { FetchFailedError, MemberFault } from './errors.ts';
import { Member } from './member.ts';
import { memberUrl } from './member-url.ts';
import { patiently } from './patience.ts';
import { createTrust } from './trust.ts';
import { readWhole } from './whole-file.ts';

export interface SmallFileOptions {
  /** PEM certificates of the CAs to believe instead of the system's. */
  ca?: readonly string[] | undefined;
  /** Longer files are refused. */
  maxBytes: number;
  /** How often it timed out before: it is waited for longer. */
  timedOut?: number;
  time: TimeSource;
}

/** In ms: nothing at all for the first, or not the whole by the second. Longer than with members: there is no other to ask. */
const usualDeadlines = { stallMs: 5_000, limitMs: 30_000 };
/** A name's next address has its turn when the one before does not connect. */
const mostConnects = 3;

/** @throws UsageError for a CA that is none, FetchFailedError with what failed. */
export async function fetchSmallFile(
  file: FileUrl,
  { ca, maxBytes, time, timedOut = 0 }: SmallFileOptions,
): Promise<Uint8Array> {
  const url = memberUrl(file);
  const member = new Member(url, time, url.secure ? createTrust(ca) : undefined);
  const never = new AbortController().signal;
  const deadlines = patiently(usualDeadlines, timedOut);
  try {
    for (let connects = 1; ; connects++) {
      try {
        return await readWhole(member, { url, suffix: '', maxBytes, deadlines }, time, never);
      } catch (error) {
        if (!(error instanceof MemberFault) || error.kind !== 'connect' || connects === mostConnects) throw error;
      }
    }
  } catch (error) {
    if (error instanceof MemberFault) throw new FetchFailedError(url.text, error);
    throw error;
  } finally {
    member.pool.close();
  }
}
