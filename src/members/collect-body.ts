/**
 * Runs one exchange to its end and keeps its body: for the few small answers that are not fetches (probes, sidecars). It is
 * given up when nothing at all happens for `stallMs`, and when it has not ended after `limitMs`.
 */
import type { TimeSource } from '../base/time-source.ts';
import { afterPoll } from './after-poll.ts';
import { MemberFault } from './errors.ts';
import type { Get } from './http-get.ts';
import type { Deadlines } from './patience.ts';

export interface BodyEvents {
  onStep(): void;
  onSent(): void;
  onData(bytes: Uint8Array): void;
  onEnd(): void;
  onFault(fault: MemberFault): void;
}

export interface CollectedBody {
  bytes: Uint8Array;
  /** ms from the sent request to the first body byte. */
  firstByteMs: number;
}

/** `begin` starts the exchange; `member` is named in faults. @throws MemberFault */
export function collectBody(
  member: string,
  time: TimeSource,
  { stallMs, limitMs }: Deadlines,
  begin: (events: BodyEvents) => Get,
): Promise<CollectedBody> {
  const { promise, resolve, reject } = Promise.withResolvers<CollectedBody>();
  const pieces: Uint8Array[] = [];
  let sentAt = time.now();
  let asked = false;
  let firstByteMs = 0;
  const giveUp = (what: string) => {
    cancel();
    request.abort();
    reject(new MemberFault('timeout', member, what, { asked }));
  };
  const cancelLimit = afterPoll(time, limitMs, () => giveUp(`not done after ${Math.round(limitMs)} ms`));
  let cancelStall = () => {};
  const cancel = () => {
    cancelLimit();
    cancelStall();
  };
  const watch = () => {
    cancelStall();
    cancelStall = afterPoll(time, stallMs, () => giveUp(`no progress for ${Math.round(stallMs)} ms`));
  };
  const request = begin({
    onStep: watch,
    onSent() {
      sentAt = time.now();
      asked = true;
      watch();
    },
    onData(bytes) {
      if (pieces.length === 0) firstByteMs = time.now() - sentAt;
      pieces.push(Uint8Array.from(bytes));
      watch();
    },
    onEnd() {
      cancel();
      resolve({ bytes: Buffer.concat(pieces), firstByteMs });
    },
    onFault(fault) {
      cancel();
      reject(fault);
    },
  });
  watch();
  return promise;
}
