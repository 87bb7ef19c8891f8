/**
 * Gets a small file that lies beside the image (`<url>.fsverity`) whole from whichever member serves a valid one first. The
 * members are asked in turn, the next one whenever the one before failed or took a moment, so that a silent, slow or hostile
 * member costs that moment and no more than the size limit.
 */

import { describeError } from '../base/errors.ts';
import type { TimeSource } from '../base/time-source.ts';
import { collectBody } from './collect-body.ts';
import { type FaultKind, MemberFault } from './errors.ts';
import { get } from './http-get.ts';
import type { Member } from './member.ts';

export interface Sidecar<T> {
  /** What is appended to the image's path. */
  readonly suffix: string;
  /** Longer files are refused. */
  readonly maxBytes: number;
  /** Makes of the file what it is good for. @throws when it is not valid. */
  accept(bytes: Uint8Array): T;
}

/** How long a member has the field to itself. */
const headStartMs = 250;
/** Nothing at all for this long, and a member is given up. */
const stallMs = 2_000;
/** … and so is one that has not served the whole by then. */
const limitMs = 60_000;

export type SidecarResult<T> =
  | { readonly accepted: T }
  | {
      /** Why each member's was not, by URL. */
      readonly refusals: ReadonlyMap<string, string>;
      /** Whether every member answered: asking again would not help. */
      readonly final: boolean;
    };

/** One pass over the members, in the list's order. */
export function fetchSidecar<T>(
  members: readonly Member[],
  sidecar: Sidecar<T>,
  time: TimeSource,
): Promise<SidecarResult<T>> {
  const { promise, resolve } = Promise.withResolvers<SidecarResult<T>>();
  const refusals = new Map<string, string>();
  const waiting = [...members];
  let unreachable = 0;
  let cancel = () => {};

  const next = () => {
    cancel();
    const member = waiting.shift();
    if (member === undefined) return;
    cancel = time.after(headStartMs, next);
    void ask(member);
  };
  const ask = async (member: Member) => {
    try {
      const bytes = await readWhole(member, sidecar, time);
      resolve({ accepted: sidecar.accept(bytes) });
      cancel();
    } catch (error) {
      const fault = error instanceof MemberFault ? error : undefined;
      if (fault !== undefined && transient.has(fault.kind)) unreachable++;
      refusals.set(member.url.text, fault?.what ?? describeError(error));
      if (refusals.size === members.length) resolve({ refusals, final: unreachable === 0 });
      else next();
    }
  };
  next();
  return promise;
}

/** Faults that may be gone a moment later. */
const transient: ReadonlySet<FaultKind> = new Set(['resolve', 'connect', 'tls', 'reset', 'timeout', 'short-body']);

async function readWhole(member: Member, sidecar: Sidecar<unknown>, time: TimeSource): Promise<Uint8Array> {
  const { url } = member;
  const file = `${url.text}${sidecar.suffix}`;
  const fault = (kind: FaultKind, what: string) => new MemberFault(kind, file, what);
  await member.addresses.resolved();
  const connection = member.pool.takeFresh();
  let received = 0;
  try {
    const { bytes } = await collectBody(file, time, { stallMs, limitMs }, (events) =>
      get(
        connection,
        { url, path: url.path + sidecar.suffix + url.query },
        {
          ...events,
          onHead(status, headers) {
            if (status !== 200) throw fault('status', `${file} answers with status ${status}`);
            if ((headers['content-encoding'] ?? 'identity') !== 'identity')
              throw fault('encoding', `${file} is encoded`);
            events.onStep();
          },
          onData(piece) {
            received += piece.length;
            if (received > sidecar.maxBytes) {
              throw fault('long-body', `${file} is longer than ${sidecar.maxBytes} bytes`);
            }
            events.onData(piece);
          },
        },
      ),
    );
    member.pool.giveBack(connection);
    return bytes;
  } catch (error) {
    member.pool.discard(connection);
    throw error;
  }
}
