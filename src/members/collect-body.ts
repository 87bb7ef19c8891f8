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
  const body = new GrowingBuffer();
  let sentAt = time.now();
  let asked = false;
  let firstByteMs = 0;
  const giveUp = (what: string) => {
    cancel();
    request.abort();
    reject(new MemberFault('timeout', member, what, { asked }));
  };
  const cancelLimit = afterPoll(time, limitMs, () => giveUp(`its answer was not over after ${seconds(limitMs)}`));
  let cancelStall = () => {};
  const cancel = () => {
    cancelLimit();
    cancelStall();
  };
  const describeSilence = () => {
    const within = seconds(stallMs);
    if (!asked) return `no connection within ${within}: is the machine off, or does a firewall drop what is sent?`;
    return body.length === 0 ? `connected, but no answer within ${within}` : `its answer stopped for ${within}`;
  };
  let progressAt = time.now();
  const watch = () => {
    progressAt = time.now();
  };
  /** One timer, however many pieces come. */
  const lookAfter = (ms: number) => {
    cancelStall = afterPoll(time, ms, () => {
      const left = progressAt + stallMs - time.now();
      if (left > 0) lookAfter(left);
      else giveUp(describeSilence());
    });
  };
  const request = begin({
    onStep: watch,
    onSent() {
      sentAt = time.now();
      asked = true;
      watch();
    },
    onData(bytes) {
      if (body.length === 0) firstByteMs = time.now() - sentAt;
      body.append(bytes);
      watch();
    },
    onEnd() {
      cancel();
      resolve({ bytes: body.bytes, firstByteMs });
    },
    onFault(fault) {
      cancel();
      reject(fault);
    },
  });
  lookAfter(stallMs);
  return promise;
}

function seconds(ms: number): string {
  return `${Number((ms / 1000).toPrecision(2))} s`;
}

/** What came, whole: a server may send it a byte at a time, and must not cost more than its bytes. */
class GrowingBuffer {
  #buffer = new Uint8Array(4096);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What was appended, without room to spare. */
  get bytes(): Uint8Array {
    return this.#length === this.#buffer.length ? this.#buffer : this.#buffer.slice(0, this.#length);
  }

  append(bytes: Uint8Array): void {
    const length = this.#length + bytes.length;
    if (length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#buffer.length));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    this.#buffer.set(bytes, this.#length);
    this.#length = length;
  }
}
