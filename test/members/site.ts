/** What the tests of the collective share: an image, an opened collective, reads that check what came. */
import { createHash } from 'node:crypto';
import { type ByteRange, rangeEnd } from '../../src/base/byte-range.ts';
import { parseFileUrl } from '../../src/base/file-url.ts';
import { createLog, type Log } from '../../src/base/log.ts';
import { systemTime } from '../../src/base/time-source.ts';
import {
  type Collective,
  type FetchPriority,
  type MemberStatus,
  type OpenOptions,
  openCollective,
  type Sidecar,
  type Verification,
} from '../../src/members/index.ts';
import { MemoryTarget } from './memory-target.ts';

export const chunkSize = 65_536;

/** Reproducible bytes without repetition, as an encrypted image has. */
export function makeImage(size: number, seed = 'image'): Uint8Array {
  const blocks: Buffer[] = [];
  for (let at = 0; at < size; at += 32) blocks.push(createHash('sha256').update(`${seed}${at}`).digest());
  return Buffer.concat(blocks).subarray(0, size);
}

/** A sidecar that every file passes: it verifies against the image itself. */
export function sidecarOf(image: Uint8Array): Sidecar<Verification> {
  return { suffix: '.fsverity', maxBytes: 1 << 20, accept: () => verificationOf(image) };
}

function verificationOf(image: Uint8Array): Verification {
  return {
    imageSize: image.length,
    blockSize: chunkSize,
    matches: (range, bytes) => Buffer.compare(image.subarray(range.offset, rangeEnd(range)), bytes) === 0,
  };
}

/** Lines of the log, and the log. */
export function recordingLog(): { lines: string[]; log: Log } {
  const lines: string[] = [];
  const sink = (level: string, line: string) => lines.push(`${level} ${line}`) > 0;
  return { lines, log: createLog({ level: 'info', format: 'text', sink }) };
}

export class Site implements AsyncDisposable {
  readonly collective: Collective;
  readonly lines: string[];
  readonly head: Uint8Array;
  readonly #image: Uint8Array;

  private constructor(collective: Collective, lines: string[], image: Uint8Array, head: Uint8Array) {
    this.collective = collective;
    this.lines = lines;
    this.#image = image;
    this.head = head;
  }

  static async open(
    image: Uint8Array,
    urls: readonly string[],
    changes: Partial<Omit<OpenOptions, 'urls'>> = {},
  ): Promise<Site> {
    const { lines, log } = recordingLog();
    const { collective, identity } = await openCollective({
      urls: urls.map(parseFileUrl),
      mountTimeoutMs: 5_000,
      onOutage: { mode: 'wait' },
      log,
      time: systemTime,
      ...changes,
    });
    return new Site(collective, lines, image, identity.head);
  }

  member(url: string): MemberStatus {
    const member = this.collective.status().members.find((status) => status.url === url);
    if (member === undefined) throw new Error(`${url} is no member`);
    return member;
  }

  /** Fetches a range; throws when what came is not the image's. `blind` leaves the check of chunks out, as without a digest. */
  async read(
    range: ByteRange,
    { priority = 'demand', blind = false, copies = 2 }: ReadOptions = {},
  ): Promise<MemoryTarget> {
    const expected = blind ? undefined : this.#image;
    const target = new MemoryTarget({ span: range, chunkSize, copies, ...(expected && { expected }) });
    await target.attach(this.collective.fetch(range, priority, target));
    const right = this.#image.subarray(range.offset, rangeEnd(range));
    if (Buffer.compare(right, target.bytes) !== 0) throw new Error(`wrong bytes at ${range.offset}`);
    return target;
  }

  /**
   * Reads on through the image, several spans at once, until `seen` says so; throws when it does not in a long while: a member that was late,
   * be it that this very process was stopped for a moment, is left alone for up to half a minute (src/members/latency.ts). @returns bytes read.
   */
  async readUntil(what: string, seen: () => boolean, options: ReadOptions = {}): Promise<number> {
    let bytes = 0;
    const length = 2 * chunkSize;
    let next = 0;
    const deadline = performance.now() + 40_000;
    const reader = async () => {
      while (!seen()) {
        if (performance.now() > deadline) throw new Error(`read for long, but ${what} did not come about`);
        const offset = next;
        next = offset + length < this.#image.length ? offset + length : 0;
        const range = { offset, length: Math.min(length, this.#image.length - offset) };
        await this.read(range, options);
        bytes += range.length;
      }
    };
    await Promise.all(Array.from({ length: 6 }, reader));
    return bytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.collective.close();
  }
}

export interface ReadOptions {
  priority?: FetchPriority;
  blind?: boolean;
  copies?: number;
}
