/**
 * Gets a small file that lies beside the image (`<url>.fsverity`) whole from whichever member serves a valid one first. The
 * members are asked in turn, the next one whenever the one before failed or took a moment, so that a silent, slow or hostile
 * member costs that moment and no more than the size limit.
 */

import { describeError } from '../base/errors.ts';
import type { TimeSource } from '../base/time-source.ts';
import type { Sidecar, SidecarResult } from './contract.ts';
import { type FaultKind, MemberFault } from './errors.ts';
import type { Member } from './member.ts';
import { readWhole } from './whole-file.ts';

/** How long a member has the field to itself. */
const headStartMs = 120;
/** Nothing at all for the first of these, or not the whole by the second, and a member is given up. */
const deadlines = { stallMs: 2_000, limitMs: 60_000 };

/** One pass over the members, in the list's order. It ends without a file when `signal` is aborted. */
export function fetchSidecar<T>(
  members: readonly Member[],
  sidecar: Sidecar<T>,
  time: TimeSource,
  signal?: AbortSignal,
): Promise<SidecarResult<T>> {
  const { promise, resolve } = Promise.withResolvers<SidecarResult<T>>();
  const refusals = new Map<string, string>();
  const waiting = [...members];
  const over = new AbortController();
  let failed = 0;
  let unreachable = 0;
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
    try {
      settle({ accepted: await readValid(member, sidecar, time, over.signal) });
    } catch (error) {
      const fault = error instanceof MemberFault ? error : undefined;
      if (fault !== undefined && transient.has(fault.kind)) unreachable++;
      refusals.set(member.url.text, fault?.what ?? describeError(error));
      if (++failed === members.length) settle({ refusals, final: unreachable === 0 });
      else next();
    }
  };
  const giveUp = () => settle({ refusals, final: false });
  signal?.addEventListener('abort', giveUp, { once: true, signal: over.signal });
  if (signal?.aborted) giveUp();
  next();
  return promise;
}

/** Beside the member's first file that has a valid one. @throws MemberFault, or what `accept` throws. */
async function readValid<T>(member: Member, sidecar: Sidecar<T>, time: TimeSource, signal: AbortSignal): Promise<T> {
  let told: unknown;
  for (const url of member.files) {
    try {
      return sidecar.accept(await readWhole(member, { ...sidecar, url, deadlines }, time, signal));
    } catch (error) {
      if (signal.aborted || (error instanceof MemberFault && transient.has(error.kind))) throw error;
      // that it has no file of the digest's name tells the least
      if (told === undefined || isMissing(told)) told = error;
    }
  }
  throw told;
}

function isMissing(error: unknown): boolean {
  return error instanceof MemberFault && error.kind === 'status';
}

/** Faults that may be gone a moment later. */
const transient: ReadonlySet<FaultKind> = new Set(['resolve', 'connect', 'tls', 'reset', 'timeout', 'short-body']);
