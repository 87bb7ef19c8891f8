/**
 * One range GET, believed only if every promise of the answer fits what was asked: status 206, exactly this Content-Range,
 * the known size, an unencoded body of exactly this length, and the ETag and Last-Modified that the member was identified
 * with. Bytes of an answer that fails a check on its head are never handed on.
 */
import { type ByteRange, rangeEnd } from '../base/byte-range.ts';
import type { Connection } from './connections.ts';
import { type FaultKind, MemberFault } from './errors.ts';
import { type Get, get, type ResponseHeaders } from './http-get.ts';
import type { MemberUrl } from './member-url.ts';

/** What pins one member's file against change. Members differ in it for the same bytes, so it never compares two of them. */
export interface FilePin {
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

export interface RangeHead {
  /** Size of the whole file, from Content-Range. */
  readonly imageSize: number;
  /** What is served: what was asked, cut at the end of the file. */
  readonly range: ByteRange;
  readonly pin: FilePin;
  /**
   * False when the file was modified in the second of the answer: it may change once more and keep its pin, because
   * Last-Modified counts seconds, and nginx makes its ETag of that and the size (RFC 9110, 8.8.2.2).
   */
  readonly settled: boolean;
}

export interface RangeQuestion {
  readonly url: MemberUrl;
  readonly range: ByteRange;
  /** The size it must have; undefined while it is not known (then `range` may reach beyond the end). */
  readonly imageSize?: number | undefined;
  /** The pin it must have. */
  readonly pin?: FilePin | undefined;
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

export function requestRange(connection: Connection, question: RangeQuestion, listener: RangeListener): Get {
  const { url, range } = question;
  let expected = 0;
  let received = 0;
  const fault = (kind: FaultKind, what: string) => new MemberFault(kind, url.text, what, { offset: range.offset });

  return get(
    connection,
    {
      url,
      path: url.path + url.query,
      headers: { range: `bytes=${range.offset}-${rangeEnd(range) - 1}` },
      offset: range.offset,
    },
    {
      onStep: () => listener.onStep(),
      onSent: () => listener.onSent(),
      onHead(status, headers) {
        const head = checkHead(question, status, headers, fault);
        expected = head.range.length;
        listener.onHead(head);
      },
      onData(bytes) {
        if (received + bytes.length > expected) throw fault('long-body', `more than the ${expected} bytes asked for`);
        received += bytes.length;
        listener.onData(bytes);
      },
      onEnd() {
        if (received < expected) throw fault('short-body', `only ${received} of ${expected} bytes`);
        listener.onEnd();
      },
      onFault: (cause) => listener.onFault(cause),
    },
  );
}

function checkHead(
  question: RangeQuestion,
  status: number,
  headers: ResponseHeaders,
  fault: (kind: FaultKind, what: string) => MemberFault,
): RangeHead {
  const { range, imageSize, pin } = question;
  if (status >= 300 && status < 400) throw fault('redirect', `redirects (status ${status}): use the URL it points to`);
  const encoding = header(headers, 'content-encoding') ?? 'identity';
  if (encoding !== 'identity') throw fault('encoding', `answers with Content-Encoding ${encoding}`);
  const type = header(headers, 'content-type') ?? '';
  if (type.startsWith('multipart/')) throw fault('encoding', `answers with ${type}`);

  const announced = lengthOf(headers);
  const served = status === 200 ? wholeFile(announced) : status === 206 ? contentRange(headers) : undefined;
  if (served === undefined) {
    if (status === 206) throw fault('content-range', 'status 206 without a proper Content-Range');
    if (status === 200) throw fault('no-ranges', 'ignores ranges: status 200 of unknown length');
    throw fault('status', `status ${status}`);
  }
  if (imageSize !== undefined && served.imageSize !== imageSize) {
    throw fault('size', `the file has ${served.imageSize} bytes instead of ${imageSize}`);
  }
  const end = Math.min(rangeEnd(range), served.imageSize);
  if (served.offset !== range.offset || served.end !== end) {
    if (status === 200) throw fault('no-ranges', 'ignores ranges: status 200 with the whole file');
    throw fault('content-range', `serves bytes ${served.offset}-${served.end - 1} instead of what was asked for`);
  }
  const length = end - range.offset;
  if (announced !== undefined && announced !== length) {
    const kind = announced < length ? 'short-body' : 'long-body';
    throw fault(kind, `announces ${announced} bytes for a range of ${length}`);
  }
  const found = { etag: header(headers, 'etag'), lastModified: header(headers, 'last-modified') };
  if (pin !== undefined && (found.etag !== pin.etag || found.lastModified !== pin.lastModified)) {
    throw fault('changed', `the file changed: ${describePin(pin)} became ${describePin(found)}`);
  }
  return {
    imageSize: served.imageSize,
    range: { offset: range.offset, length },
    pin: found,
    settled: settled(headers),
  };
}

/** Both dates are the server's own, so its clock may be wrong. */
function settled(headers: ResponseHeaders): boolean {
  const age = Date.parse(header(headers, 'date') ?? '') - Date.parse(header(headers, 'last-modified') ?? '');
  return !(Math.abs(age) < 1000);
}

interface Served {
  offset: number;
  end: number;
  imageSize: number;
}

/** RFC 9110, 14.4: `bytes FIRST-LAST/SIZE`; an unknown size (`*`) is no use here. */
function contentRange(headers: ResponseHeaders): Served | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header(headers, 'content-range') ?? '');
  if (match === null) return undefined;
  const [, first, last, size] = match.map(Number);
  if (first === undefined || last === undefined || size === undefined) return undefined;
  return first <= last && last < size ? { offset: first, end: last + 1, imageSize: size } : undefined;
}

/** A 200 serves the whole file: good enough when that is what was asked for. */
function wholeFile(length: number | undefined): Served | undefined {
  return length === undefined || length === 0 ? undefined : { offset: 0, end: length, imageSize: length };
}

function lengthOf(headers: ResponseHeaders): number | undefined {
  const text = header(headers, 'content-length');
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** The header's value; a repeated header is joined, and so fits no check. */
function header(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

function describePin({ etag, lastModified }: FilePin): string {
  return `ETag ${etag ?? 'none'}, Last-Modified ${lastModified ?? 'none'}`;
}
