/** All members together, as a mount asks them: each range of whoever is expected to bring it first, hedged where that is late. */
import { type ByteRange, rangeEnd } from '../base/byte-range.ts';
import type { FileUrl } from '../base/file-url.ts';
import { createLog } from '../base/log.ts';
import { systemTime } from '../base/time-source.ts';
import { usualChunkSize } from '../image/tree-sidecar.ts';
import {
  type Collective,
  type CollectiveStatus,
  type FetchTarget,
  openCollective,
  type TimedAnswer,
  type TimedRead,
} from '../members/index.ts';
import { type Lane, type Place, unlessAborted } from './lanes.ts';

export interface TogetherOptions {
  ca?: readonly string[] | undefined;
  /** How long nobody may answer, ms. */
  patienceMs: number;
  signal: AbortSignal;
  /** 64 hexadecimal digits: members are asked for the file of that name first. */
  digest?: string | undefined;
}

/** Bytes of the longest span that a mount asks for. */
const longestSpan = 1 << 20;

export class Together implements Place, AsyncDisposable {
  readonly imageSize: number;
  readonly longestRange = longestSpan;
  readonly #collective: Collective;

  private constructor(collective: Collective, imageSize: number) {
    this.#collective = collective;
    this.imageSize = imageSize;
  }

  /** @throws NoMemberError */
  static async open(urls: readonly FileUrl[], { ca, patienceMs, signal, digest }: TogetherOptions): Promise<Together> {
    const opening = openCollective({
      ...{ urls, ca, digest, mountTimeoutMs: patienceMs, time: systemTime },
      onOutage: { mode: 'eio', timeoutMs: patienceMs },
      // What members do is what is measured.
      log: createLog({ level: 'error', format: 'text', sink: () => true }),
    });
    try {
      const { collective, identity } = await unlessAborted(signal, opening);
      return new Together(collective, identity.imageSize);
    } catch (error) {
      // Whoever waits no longer has nobody to close it.
      void opening.then(({ collective }) => collective.close()).catch(() => {});
      throw error;
    }
  }

  /** One beside the image, of whichever member has it; undefined when none has, or `accept` throws for all. */
  async smallFile<T>(suffix: string, maxBytes: number, accept: (bytes: Uint8Array) => T): Promise<T | undefined> {
    const result = await this.#collective.sidecar({ suffix, maxBytes, accept });
    return 'accepted' in result ? result.accepted : undefined;
  }

  status(): CollectiveStatus {
    return this.#collective.status();
  }

  async lane(): Promise<Lane> {
    return { read: (range, options) => this.#read(range, options), close() {} };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#collective.close();
  }

  async #read(range: ByteRange, { signal, onBytes }: TimedRead): Promise<TimedAnswer> {
    signal.throwIfAborted();
    const began = systemTime.now();
    let firstByteMs: number | undefined;
    const target = new Passing(range, (count) => {
      firstByteMs ??= systemTime.now() - began;
      onBytes?.(count);
    });
    const fetch = this.#collective.fetch(range, 'demand', target);
    target.onProgress = () => fetch.progressed();
    const onAbort = () => fetch.cancel();
    signal.addEventListener('abort', onAbort);
    // The collective's own timers hold no process.
    const hold = setInterval(() => {}, 60_000);
    try {
      await fetch.done;
      const wholeMs = systemTime.now() - began;
      return {
        connectMs: undefined,
        tlsMs: undefined,
        firstByteMs: firstByteMs ?? wholeMs,
        wholeMs,
        imageSize: this.imageSize,
      };
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      clearInterval(hold);
      signal.removeEventListener('abort', onAbort);
    }
  }
}

/** One, and one more that is to be quicker. */
const mostAttempts = 2;

/** Takes a range's bytes and keeps none. What has come is told by chunks, as a mount does. */
class Passing implements FetchTarget {
  /** A chunk more has come. */
  onProgress = () => {};
  readonly #range: ByteRange;
  readonly #onBytes: (count: number) => void;
  /** Where what has come ends. */
  #reached: number;
  #attempts = 0;

  constructor(range: ByteRange, onBytes: (count: number) => void) {
    this.#range = range;
    this.#onBytes = onBytes;
    this.#reached = range.offset;
  }

  missing(): ByteRange | undefined {
    const end = rangeEnd(this.#range);
    if (this.#reached === end) return undefined;
    const { offset } = this.#range;
    const start = this.#reached - ((this.#reached - offset) % usualChunkSize);
    return { offset: start, length: end - start };
  }

  open(range: ByteRange): { write(bytes: Uint8Array): void; close(): void } | undefined {
    if (this.#attempts >= mostAttempts) return undefined;
    this.#attempts++;
    let end = range.offset;
    return {
      write: (bytes) => {
        end += bytes.length;
        // Of two attempts the one that is behind brings nothing.
        if (end <= this.#reached) return;
        this.#onBytes(end - this.#reached);
        const before = this.missing()?.offset;
        this.#reached = end;
        // Not while the attempt still writes.
        if (this.missing()?.offset !== before) setImmediate(() => this.onProgress());
      },
      close: () => {
        this.#attempts--;
      },
    };
  }
}
