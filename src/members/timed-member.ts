/**
 * One member, asked for ranges of the image to see how long it takes: for whoever measures members. With the members' strictness and trust, on
 * connections of its own; without health and hedging, and with a second try only where a connection was closed at the moment of its reuse.
 */
import type { SecureContext } from 'node:tls';
import type { ByteRange } from '../base/byte-range.ts';
import type { TimeSource } from '../base/time-source.ts';
import { Addresses } from './addresses.ts';
import { afterPoll } from './after-poll.ts';
import { Connection, Connector } from './connections.ts';
import { MemberFault } from './errors.ts';
import type { MemberUrl } from './member-url.ts';
import { requestRange } from './range-request.ts';
import { createTrust } from './trust.ts';

/** Times in ms. */
export interface TimedAnswer {
  /** Until TCP stood, and from there until the TLS session did; undefined where that was so before, or is not needed. */
  readonly connectMs: number | undefined;
  readonly tlsMs: number | undefined;
  /** From the request, sent on a connection that stands, to the first byte of the body, and to the last. */
  readonly firstByteMs: number;
  readonly wholeMs: number;
  /** Of the whole image. */
  readonly imageSize: number;
}

export interface TimedRead {
  readonly signal: AbortSignal;
  /** Told how many bytes have come, as they come. */
  readonly onBytes?: ((count: number) => void) | undefined;
}

export interface TimedMemberOptions {
  /** PEM certificates of the CAs to believe instead of the system's. */
  readonly ca?: readonly string[] | undefined;
  readonly time: TimeSource;
  /** So long nothing at all may come, in ms. */
  readonly stallMs: number;
}

/** Nothing that `signal` gives up is a fault of the member. */
export interface TimedConnection {
  /** One at a time. After an error it is of no use. @throws MemberFault, the reason of `signal` */
  read(range: ByteRange, options: TimedRead): Promise<TimedAnswer>;
  close(): void;
}

export class TimedMember {
  readonly url: MemberUrl;
  readonly #options: TimedMemberOptions;
  readonly #trust: SecureContext | undefined;
  readonly #addresses: Addresses;
  #resolved: Promise<void> | undefined;

  /** @throws UsageError for a CA that is none. */
  constructor(url: MemberUrl, options: TimedMemberOptions) {
    this.url = url;
    this.#options = options;
    this.#trust = this.url.secure ? createTrust(options.ca) : undefined;
    this.#addresses = new Addresses(this.url, options.time);
  }

  /** One that stands when its first range is asked for; its TLS session is no other's resumed. @throws MemberFault when the name has no address. */
  async connection(): Promise<TimedConnection> {
    // Once: who is measured must not become another on the way.
    this.#resolved ??= this.#addresses.resolved();
    await this.#resolved.catch((error: unknown) => {
      this.#resolved = undefined;
      throw error;
    });
    let connection = this.#fresh();
    return {
      read: async (range, options) => {
        let answered = false;
        const stood = connection.established;
        try {
          return await this.#read(connection, range, options, () => {
            answered = true;
          });
        } catch (error) {
          // HTTP's race, and nobody's fault.
          const isRace = stood && !answered && error instanceof MemberFault && error.kind === 'reset';
          if (!isRace) throw error;
          connection.destroy();
          connection = this.#fresh();
          return await this.#read(connection, range, options, () => {});
        }
      },
      close: () => connection.destroy(),
    };
  }

  #fresh(): Connection {
    return new Connection(this.url, new Connector(this.url, this.#addresses, this.#trust));
  }

  #read(
    connection: Connection,
    range: ByteRange,
    { signal, onBytes }: TimedRead,
    onAnswered: () => void,
  ): Promise<TimedAnswer> {
    signal.throwIfAborted();
    const { url } = this;
    const { time, stallMs } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<TimedAnswer>();
    const began = time.now();
    const stood = connection.established;
    const steps: number[] = [];
    let sentAt: number | undefined;
    let firstByteAt: number | undefined;
    let progressAt = began;
    let imageSize = 0;
    const progress = () => {
      progressAt = time.now();
      return progressAt;
    };
    const end = () => {
      signal.removeEventListener('abort', onAbort);
      cancelWatch();
    };
    const giveUp = (reason: unknown) => {
      end();
      request.abort();
      connection.destroy();
      reject(reason);
    };
    const onAbort = () => giveUp(signal.reason);
    const silent = () => {
      const within = `${stallMs / 1000} s`;
      const what = sentAt === undefined ? `no connection within ${within}` : `nothing came for ${within}`;
      return new MemberFault('timeout', url.text, what, { offset: range.offset, asked: sentAt !== undefined });
    };
    let cancelWatch = () => {};
    const watch = (ms: number) => {
      cancelWatch = afterPoll(time, ms, () => {
        const left = progressAt + stallMs - time.now();
        if (left > 0) watch(left);
        else giveUp(silent());
      });
    };
    signal.addEventListener('abort', onAbort);
    watch(stallMs);
    const request = requestRange(
      connection,
      { url, range, verified: true },
      {
        onStep: () => steps.push(progress()),
        onSent() {
          // An answer that is cut is asked for in parts, and is one.
          const now = progress();
          sentAt ??= now;
        },
        onHead(head) {
          progress();
          onAnswered();
          imageSize = head.imageSize;
        },
        onData(bytes) {
          firstByteAt ??= time.now();
          progress();
          onBytes?.(bytes.length);
        },
        onEnd() {
          end();
          const endedAt = time.now();
          const from = sentAt ?? began;
          const [connected, secured] = stood ? [] : steps;
          resolve({
            connectMs: connected === undefined ? undefined : connected - began,
            tlsMs: connected === undefined || secured === undefined || !url.secure ? undefined : secured - connected,
            firstByteMs: (firstByteAt ?? endedAt) - from,
            wholeMs: endedAt - from,
            imageSize,
          });
        },
        onFault(fault) {
          end();
          reject(fault);
        },
      },
    );
    return promise;
  }
}
