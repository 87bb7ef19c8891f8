/**
 * Gets a small file that lies beside the image (`<url>.fsverity`) whole from whichever member serves a valid one first. The
 * members are asked in turn, the next one whenever the one before failed or took a moment, so that a silent, slow or hostile
 * member costs that moment and no more than the size limit.
 */

import { describeError } from '../base/errors.ts';
import { jittered, type TimeSource } from '../base/time-source.ts';
import type { Sidecar, SidecarResult } from './contract.ts';
import { MemberFault } from './errors.ts';
import type { Member } from './member.ts';
import { type Deadlines, patiently } from './patience.ts';
import { readWhole } from './whole-file.ts';

/** Why, of a member that had not answered when nobody waited any more. */
export const noAnswer = 'no answer';
/** How long a member has the field to itself. */
const headStartMs = 120;
/** Nothing at all for the first of these, or not the whole by the second, and a member is given up. */
export const usualStallMs = 2_000;
const usualLimitMs = 60_000;
/** After this, ±50 %, one that failed for the moment is asked again in the same pass, in ms. */
const againMs = 600;

export interface SidecarPass {
  time: TimeSource;
  /** Ends it without a file. */
  signal?: AbortSignal | undefined;
  /** How many passes before this one ended without a file because somebody kept us waiting: this one waits longer. */
  timedOut?: number;
}

/**
 * One pass over the members, in the list's order. While one of them still keeps us waiting, those that failed for the moment are asked again. It ends
 * without a file when each has failed.
 */
export function fetchSidecar<T>(
  members: readonly Member[],
  sidecar: Sidecar<T>,
  { time, signal, timedOut = 0 }: SidecarPass,
): Promise<SidecarResult<T>> {
  const { promise, resolve } = Promise.withResolvers<SidecarResult<T>>();
  const deadlines = patiently({ stallMs: usualStallMs, limitMs: usualLimitMs }, timedOut);
  const refusals = new Map<string, string>();
  const waiting = [...members];
  const over = new AbortController();
  const failed = new Set<Member>();
  const unreachable = new Set<Member>();
  let missing = false;
  let cancel = () => {};

  /** Whoever is still being asked is hung up on. */
  const settle = (result: SidecarResult<T>) => {
    cancel();
    waiting.length = 0;
    resolve(result);
    over.abort();
  };
  const next = () => {
    cancel();
    const member = waiting.shift();
    if (member === undefined) return;
    cancel = time.after(headStartMs, next);
    void ask(member);
  };
  const ask = async (member: Member) => {
    if (over.signal.aborted) return;
    try {
      settle({ accepted: await readValid(member, { ...sidecar, deadlines }, time, over.signal) });
    } catch (error) {
      const fault = error instanceof MemberFault ? error : undefined;
      refusals.set(member.url.text, fault?.what ?? describeError(error));
      failed.add(member);
      if (fault?.missing === true) missing = true;
      const again = fault?.transient === true;
      if (again) unreachable.add(member);
      else unreachable.delete(member);
      if (failed.size === members.length) {
        settle({ refusals, final: unreachable.size === 0, missing });
        return;
      }
      if (again) time.after(jittered(time, againMs), () => void ask(member));
      next();
    }
  };
  const giveUp = () => {
    for (const { url } of members) if (!refusals.has(url.text)) refusals.set(url.text, noAnswer);
    settle({ refusals, final: false, missing });
  };
  signal?.addEventListener('abort', giveUp, { once: true, signal: over.signal });
  if (signal?.aborted) giveUp();
  next();
  return promise;
}

/** Beside the member's first file that has a valid one. @throws MemberFault, or what `accept` throws. */
async function readValid<T>(
  member: Member,
  sidecar: Sidecar<T> & { deadlines: Deadlines },
  time: TimeSource,
  signal: AbortSignal,
): Promise<T> {
  let told: unknown;
  for (const url of member.files) {
    try {
      return sidecar.accept(await readWhole(member, { ...sidecar, url }, time, signal));
    } catch (error) {
      if (signal.aborted || (error instanceof MemberFault && error.transient)) throw error;
      // that it has no file of the digest's name tells the least
      if (told === undefined || isMissing(told)) told = error;
    }
  }
  throw told;
}

function isMissing(error: unknown): boolean {
  return error instanceof MemberFault && error.kind === 'status';
}
