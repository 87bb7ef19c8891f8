/**
 * What image the collective serves, and whether a member serves it. With a digest the size is known and the first and last
 * blocks are verified. Without one, the members are compared with each other: size, first bytes, last bytes (an encrypted
 * repack differs in every sector), and the majority is right. What cannot be an image has no vote, and bytes of no known format none against
 * an image.
 */
import type { ByteRange } from '../base/byte-range.ts';
import { describeRange, rangeEnd } from '../base/byte-range.ts';
import { type FaultKind, MemberFault } from './errors.ts';
import type { MemberUrl } from './member-url.ts';
import type { FilePin } from './range-request.ts';

/** What is known of the image from its digest's hash tree. */
export interface Verification {
  /** Bytes of the image as served. */
  readonly imageSize: number;
  /** The unit that `matches` can check, in bytes. */
  readonly blockSize: number;
  /** Whether `bytes` are what the image holds at `range`: whole blocks, the last one cut at the image's end. */
  matches(range: ByteRange, bytes: Uint8Array): boolean;
}

/** What one member showed of its file. */
export interface Observation {
  /** Which of the member's files it was. */
  readonly file: MemberUrl;
  readonly imageSize: number;
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  readonly pin: FilePin;
  readonly contentType: string | undefined;
}

/** What a file looks like: `unbounded` is an image of which nothing tells how long it must be, `unknown` says nothing against its being an image. */
export type Examined = 'valid' | 'unbounded' | 'unknown';

/** Whether a file can be an image, by its first bytes, its size and its Content-Type. @throws what describes why not. */
export type Examine = (head: Uint8Array, imageSize: number, contentType: string | undefined) => Examined;

/** By which an image is told from others. */
export type ImageEnds = Pick<Observation, 'imageSize' | 'head' | 'tail'>;

/** First bytes that are looked at: the header of an encrypted image, and of what is encrypted. */
const leastHeadBytes = 8192;

/** The first bytes to ask for, which may be more than the file has. */
export function headRange(blockSize: number): ByteRange {
  return { offset: 0, length: Math.max(leastHeadBytes, blockSize) };
}

/** The last block. */
export function tailRange(imageSize: number, blockSize: number): ByteRange {
  const unit = Math.max(leastHeadBytes, blockSize);
  const offset = Math.floor((imageSize - 1) / unit) * unit;
  return { offset, length: imageSize - offset };
}

/** Why `observation` is not the image, as a fault of `member`; undefined when it is. `chosen` is another member's. */
export function judge(
  member: string,
  observation: ImageEnds,
  chosen: ImageEnds | undefined,
  verification: Verification | undefined,
): { fault: MemberFault; range: ByteRange } | undefined {
  const { imageSize, head, tail } = observation;
  const headAt = { offset: 0, length: head.length };
  const tailAt = { offset: imageSize - tail.length, length: tail.length };
  const refuse = (kind: FaultKind, range: ByteRange, what: string) => ({
    fault: new MemberFault(kind, member, what),
    range,
  });

  const size = verification?.imageSize ?? chosen?.imageSize;
  if (size !== undefined && imageSize !== size) {
    return refuse('size', headAt, `it serves another image: the file has ${imageSize} bytes instead of ${size}`);
  }
  for (const [range, bytes, expected] of [
    [headAt, head, chosen?.head],
    [tailAt, tail, chosen?.tail],
  ] as const) {
    if (verification !== undefined) {
      if (verification.matches(range, bytes)) continue;
      return refuse('corrupt', range, `bytes ${describeRange(range)} do not match the digest`);
    }
    if (expected !== undefined && !agree(bytes, expected, range.offset > 0)) {
      return refuse(
        'identity',
        range,
        `it serves another image: bytes ${range.offset}-${rangeEnd(range) - 1} are not the image's`,
      );
    }
  }
  return undefined;
}

/** A predecessor may have kept more or fewer of the first or last bytes. */
function agree(some: Uint8Array, others: Uint8Array, fromTheEnd: boolean): boolean {
  const length = Math.min(some.length, others.length);
  const part = (bytes: Uint8Array) => (fromTheEnd ? bytes.subarray(bytes.length - length) : bytes.subarray(0, length));
  return Buffer.compare(part(some), part(others)) === 0;
}

/** Whether another begins in the same way and goes on where this one ends: who copied it was interrupted. */
export function isCutOff(one: Observation, all: readonly Observation[]): boolean {
  return all.some(({ imageSize, head }) => imageSize > one.imageSize && Buffer.compare(head, one.head) === 0);
}

/** The observation that most share; among equals the earliest in the list. */
export function majority(observations: readonly Observation[]): Observation | undefined {
  const groups: { first: Observation; votes: number }[] = [];
  for (const observation of observations) {
    const group = groups.find(({ first }) => judge('', observation, first, undefined) === undefined);
    if (group === undefined) groups.push({ first: observation, votes: 1 });
    else group.votes++;
  }
  const most = Math.max(...groups.map(({ votes }) => votes));
  return groups.find(({ votes }) => votes === most)?.first;
}
