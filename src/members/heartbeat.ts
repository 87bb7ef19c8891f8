/**
 * The heartbeat: asks each usable member for one byte of the image now and then, although nobody reads. So each member's access log
 * names every image that is in use (`tetherfs image gc` relies on it), and a file that was changed is noticed before the next read.
 *
 * The contract: a daemon that may still read from a member asks it for the image at least every 75 minutes. Members that are not usable
 * are probed much more often. Members that rest (the image is in RAM) are asked nothing.
 */
import { describeError } from '../base/errors.ts';
import { jittered, type TimeSource } from '../base/time-source.ts';
import { collectBody } from './collect-body.ts';
import type { Connection } from './connections.ts';
import { stallAfter } from './deadlines.ts';
import { MemberFault } from './errors.ts';
import type { Member } from './member.ts';
import { requestRange } from './range-request.ts';
import { healthiest } from './selection.ts';

/** Between two beats, in ms; each ± a quarter, so that nodes that boot together do not beat together. */
export const usualHeartbeatMs = 3_600_000;
const jitter = 0.25;

const firstByte = { offset: 0, length: 1 };
/** A beat may wait longer than a read: nobody depends on it. */
const leastStallMs = 2_000;
const limitMs = 60_000;

export interface HeartbeatOptions {
  /** As they are at the moment. */
  members: readonly Member[];
  time: TimeSource;
  intervalMs: number;
  /** Bytes of the image. */
  imageSize: () => number;
  onFault: (member: Member, fault: MemberFault) => void;
}

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  /** Aborted at the end of each stretch of beating. */
  #session = new AbortController();
  #cancel = () => {};

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** The first beat comes after one interval: whoever starts has just asked. */
  start(): void {
    this.stop();
    this.#session = new AbortController();
    this.#schedule();
  }

  /** Connections are not its own to close. */
  stop(): void {
    this.#session.abort();
    this.#cancel();
  }

  #schedule(): void {
    const { members, time, intervalMs } = this.#options;
    this.#cancel = time.after(jittered(time, intervalMs, jitter), () => {
      this.#schedule();
      for (const member of healthiest(members)) void this.#beat(member, this.#session.signal);
    });
  }

  async #beat(member: Member, signal: AbortSignal): Promise<void> {
    const { time, imageSize, onFault } = this.#options;
    let connection: Connection | undefined;
    try {
      await member.addresses.resolved();
      if (signal.aborted) return;
      // what is idle may be closed by now: a fresh one leaves no doubt who failed
      const fresh = member.pool.takeFresh();
      connection = fresh;
      const question = {
        url: member.file,
        range: firstByte,
        imageSize: imageSize(),
        pin: member.pin,
        verified: member.verified,
      };
      const stallMs = Math.max(leastStallMs, stallAfter(member.speed.window));
      await collectBody(member.url.text, time, { stallMs, limitMs }, (events) =>
        requestRange(fresh, question, { ...events, onHead: () => events.onStep() }),
      );
    } catch (error) {
      if (!signal.aborted) onFault(member, asFault(member, error));
    } finally {
      if (connection !== undefined) member.pool.discard(connection);
    }
  }
}

/** A defect of ours must not end the daemon: it is shown as the member's. */
function asFault(member: Member, error: unknown): MemberFault {
  if (error instanceof MemberFault) return error;
  return new MemberFault('protocol', member.url.text, `cannot be asked: ${describeError(error)}`, { cause: error });
}
