/**
 * One range, got by GET, believed only if every promise of the answer fits what was asked: status 206, a Content-Range that begins where it was
 * asked to and does not reach further, the known size, an unencoded body of exactly this length, and, unless a digest checks the bytes, the ETag
 * and Last-Modified that the member was identified with. docs/members-and-hedging.md has the table of all this. Bytes of an answer that fails a check on its head are never handed on.
 */
import { type ByteRange, largestImage, rangeEnd } from '../base/byte-range.ts';
import type { Connection } from './connections.ts';
import { type FaultKind, MemberFault } from './errors.ts';
import { type Get, get } from './http-get.ts';
import type { MemberUrl } from './member-url.ts';
import {
  announcedLength,
  contentEncoding,
  describeRedirect,
  describeStatus,
  header,
  isMissing,
  type ResponseHeaders,
  refusalKind,
} from './response-headers.ts';

/** What pins one member's file against change. Members differ in it for the same bytes, so it never compares two of them. */
export interface FilePin {
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

export interface RangeHead {
  /** Size of the whole file, from Content-Range. */
  readonly imageSize: number;
  /** What will be served: what was asked, cut at the end of the file. */
  readonly range: ByteRange;
  readonly pin: FilePin;
  /**
   * False when the file was modified in the second of the answer: it may change once more and keep its pin, because
   * Last-Modified counts seconds, and nginx makes its ETag of that and the size (RFC 9110, 8.8.2.2).
   */
  readonly settled: boolean;
  readonly contentType: string | undefined;
}

export interface RangeQuestion {
  readonly url: MemberUrl;
  readonly range: ByteRange;
  /** The size it must have; undefined while it is not known (then `range` may reach beyond the end). */
  readonly imageSize?: number | undefined;
  /** The pin it must have; undefined while it is not known: then all of an answer has the same. */
  readonly pin?: FilePin | undefined;
  /** Its bytes are checked against a digest: whatever the pin is, and whether several servers of different pins take turns, is of no importance. */
  readonly verified: boolean;
}

export interface RangeListener {
  onStep(): void;
  onSent(): void;
  onHead(head: RangeHead): void;
  /** The next bytes of the range, in order. The view is dead when it returns. */
  onData(bytes: Uint8Array): void;
  /** The whole range was delivered. */
  onEnd(): void;
  onFault(fault: MemberFault): void;
}

/**
 * An answer may hold less than was asked for (RFC 9110, 15.3.7; servers have such limits): then the rest is asked for on the same connection,
 * which for the listener is one answer that takes longer.
 */
export function requestRange(connection: Connection, question: RangeQuestion, listener: RangeListener): Get {
  const { url, range } = question;
  const fault: MakeFault = (kind, what, missing = false) =>
    new MemberFault(kind, url.text, what, { offset: range.offset, missing });
  let head: RangeHead | undefined;
  let current: Get | undefined;
  let aborted = false;

  const ask = (rest: ByteRange): void => {
    let expected = 0;
    let received = 0;
    const onHead = (status: number, headers: ResponseHeaders) => {
      const known = head ?? { imageSize: question.imageSize, pin: question.pin };
      const { range: served, ...facts } = checkHead({ ...question, ...known, range: rest }, status, headers, fault);
      expected = served.length;
      if (head === undefined) {
        const length = Math.min(rangeEnd(range), facts.imageSize) - range.offset;
        head = { ...facts, range: { offset: range.offset, length } };
        listener.onHead(head);
      } else {
        listener.onStep();
      }
    };
    const asked = get(
      connection,
      {
        url,
        path: url.path + url.query,
        headers: { range: `bytes=${rest.offset}-${rangeEnd(rest) - 1}` },
        offset: rest.offset,
      },
      {
        onStep: () => listener.onStep(),
        onSent: () => listener.onSent(),
        onHead,
        onData(bytes) {
          if (received + bytes.length > expected) throw fault('long-body', `more than the ${expected} bytes announced`);
          received += bytes.length;
          listener.onData(bytes);
        },
        onEnd() {
          if (received < expected) throw fault('short-body', `only ${received} of ${expected} bytes`);
          const offset = rest.offset + received;
          const end = head === undefined ? offset : rangeEnd(head.range);
          if (offset === end) listener.onEnd();
          else if (!aborted) ask({ offset, length: end - offset });
        },
        onFault: (cause) => listener.onFault(cause),
      },
    );
    current = asked;
  };
  ask(range);
  return {
    abort() {
      aborted = true;
      current?.abort();
    },
  };
}

type MakeFault = (kind: FaultKind, what: string, missing?: boolean) => MemberFault;

const noRanges =
  'this server serves files only as a whole, and a part was asked for: use nginx, Apache, or another that knows ranges';

function checkHead(question: RangeQuestion, status: number, headers: ResponseHeaders, fault: MakeFault): RangeHead {
  const { range, imageSize, pin, verified } = question;
  if (status >= 300 && status < 400) throw fault('redirect', describeRedirect(status, headers, question));
  const encoding = contentEncoding(headers);
  if (encoding !== undefined)
    throw fault('encoding', `comes compressed (Content-Encoding ${encoding}): switch that off for it`);
  const type = header(headers, 'content-type') ?? '';
  if (type.startsWith('multipart/')) throw fault('encoding', `answers with ${type}`);

  const announced = announcedLength(headers);
  const served = status === 200 ? wholeFile(announced) : status === 206 ? contentRange(headers) : undefined;
  if (served === undefined) {
    if (isEmpty(status, headers)) throw fault('format', 'the file is empty');
    if (status === 416) throw fault('status', 'status 416: the file ends before what is asked for');
    if (status === 206) throw fault('content-range', 'status 206 without a proper Content-Range');
    if (status === 200) throw fault('no-ranges', `${noRanges} (status 200 of unknown length)`);
    throw fault(refusalKind(status), describeStatus(status), isMissing(status));
  }
  const size = served.imageSize ?? imageSize;
  if (size === undefined) throw fault('content-range', 'does not say how long the file is');
  if (imageSize !== undefined && size !== imageSize) {
    throw fault('size', `it serves another image: the file has ${size} bytes instead of ${imageSize}`);
  }
  if (size > largestImage) throw fault('size', `the file has ${size} bytes, more than any image (${largestImage})`);
  const end = Math.min(rangeEnd(range), size);
  if (served.offset !== range.offset || served.end > end) {
    if (status === 200) throw fault('no-ranges', `${noRanges} (status 200 with the whole file)`);
    throw fault('content-range', `serves bytes ${served.offset}-${served.end - 1} instead of what was asked for`);
  }
  const length = served.end - range.offset;
  if (announced !== undefined && announced !== length) {
    const kind = announced < length ? 'short-body' : 'long-body';
    throw fault(kind, `announces ${announced} bytes for a range of ${length}`);
  }
  const found = { etag: header(headers, 'etag'), lastModified: header(headers, 'last-modified') };
  if (pin !== undefined && !verified && (found.etag !== pin.etag || found.lastModified !== pin.lastModified)) {
    throw fault('changed', `the file changed: ${describePin(pin)} became ${describePin(found)}`);
  }
  return {
    imageSize: size,
    range: { offset: range.offset, length },
    pin: found,
    settled: settled(headers),
    contentType: header(headers, 'content-type'),
  };
}

/** Both dates are the server's own, so its clock may be wrong. Without its date nothing tells. */
function settled(headers: ResponseHeaders): boolean {
  const modified = Date.parse(header(headers, 'last-modified') ?? '');
  if (Number.isNaN(modified)) return true;
  const age = Date.parse(header(headers, 'date') ?? '') - modified;
  return Math.abs(age) >= 1000;
}

interface Served {
  offset: number;
  end: number;
  /** Undefined when it is not told. */
  imageSize: number | undefined;
}

/**
 * RFC 9110, 14.4: `bytes FIRST-LAST/SIZE` or `…/*`; the unit's case is of no importance (14.1). A size that cannot be is none: whoever knows the size
 * from elsewhere can use the bytes.
 */
function contentRange(headers: ResponseHeaders): Served | undefined {
  const text = header(headers, 'content-range') ?? '';
  const match = /^\s*bytes +(\d{1,15})-(\d{1,15})\/(\S+)\s*$/i.exec(text);
  if (match === null) return undefined;
  const [first, last, size] = [Number(match[1]), Number(match[2]), match[3] ?? ''];
  if (first > last) return undefined;
  const plausible = /^\d{1,15}$/.test(size) && Number(size) > last;
  return { offset: first, end: last + 1, imageSize: plausible ? Number(size) : undefined };
}

/** A 200 serves the whole file: good enough when that is what was asked for. */
function wholeFile(length: number | undefined): Served | undefined {
  return length === undefined || length === 0 ? undefined : { offset: 0, end: length, imageSize: length };
}

/** A whole file of no bytes, or one of which there is no first byte (RFC 9110, 15.5.17). */
function isEmpty(status: number, headers: ResponseHeaders): boolean {
  if (status === 200) return announcedLength(headers) === 0;
  return status === 416 && /^bytes \*\/0$/i.test(header(headers, 'content-range') ?? '');
}

function describePin({ etag, lastModified }: FilePin): string {
  return `ETag ${etag ?? 'none'}, Last-Modified ${lastModified ?? 'none'}`;
}
