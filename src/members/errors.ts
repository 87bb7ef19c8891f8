/**
 * What can go wrong with a member, and with all of them. A `MemberFault` is one failed exchange with one member: it is
 * counted under its kind, moves the member's health (health.ts), and is seen by a user only in the log and the status. The
 * others end something the user asked for.
 */
import { shownText, TetherfsError } from '../base/errors.ts';

export const faultKinds = [
  'resolve', // the name has no address
  'connect', // no TCP connection: refused, unreachable
  'tls', // no TLS session: untrusted, for another name, or outside its validity
  'reset', // the connection broke
  'protocol', // what came is not HTTP/1.1
  'timeout', // no progress, or far too slow
  'busy', // 429 or 5xx: it cannot now
  'status', // 4xx, or anything else that is not 206
  'redirect', // 3xx: a member serves the image itself
  'no-ranges', // 200 with the whole file for a part of it
  'encoding', // the body is compressed or multipart
  'content-range', // Content-Range is missing or not what was asked for
  'short-body', // fewer bytes than announced
  'long-body', // more bytes than asked for
  'format', // no image: cut off, damaged, a web page
  'size', // the file has another size
  'changed', // ETag or Last-Modified are not those it was identified with
  'identity', // first or last bytes are not the image's
  'corrupt', // the digest says that its bytes are wrong
  'defect', // our own: the member is not to blame
] as const;
export type FaultKind = (typeof faultKinds)[number];

interface FaultOptions {
  offset?: number;
  asked?: boolean;
  /** Of a kind that is transient otherwise: this one will not go by itself. */
  final?: boolean;
  missing?: boolean;
  cause?: unknown;
}

/** Faults that may be gone a moment later. */
const transientFaults: ReadonlySet<FaultKind> = new Set([
  ...(['resolve', 'connect', 'tls', 'reset', 'timeout', 'short-body', 'busy', 'defect'] as const),
]);

/** Characters of a fault: what a peer says in it must not push the other members' out of a line. */
const longestWhat = 400;

/** One failed exchange with one member. The message names the member; `what` is the same without it. */
export class MemberFault extends TetherfsError {
  readonly kind: FaultKind;
  readonly what: string;
  /** Of a time-out: the request had been sent, so that more patience might have brought an answer. */
  readonly asked: boolean;
  /** Whether it may be gone a moment later. */
  readonly transient: boolean;
  /** The server has no such file, and is well otherwise. */
  readonly missing: boolean;

  constructor(kind: FaultKind, member: string, what: string, options: FaultOptions = {}) {
    const where = options.offset === undefined ? member : `${member} at offset ${options.offset}`;
    const shown = shownText(what, longestWhat);
    super(`MEMBER_${kind.toUpperCase().replaceAll('-', '_')}`, `${where}: ${shown}`, { cause: options.cause });
    this.kind = kind;
    this.what = shown;
    this.asked = options.asked ?? false;
    this.transient = transientFaults.has(kind) && options.final !== true;
    this.missing = options.missing ?? false;
  }
}

/** No member is usable. A prefetch gets it at once, a demand when `--on-outage eio` and its time-out ran out. */
export class OutageError extends TetherfsError {
  constructor(reasons: string, what = 'no member of the collective is usable') {
    super('OUTAGE', `${what}: ${reasons}`);
  }
}

/** The fetch was cancelled by whoever asked for it, or the collective was closed. */
export class FetchCancelled extends TetherfsError {
  constructor() {
    super('FETCH_CANCELLED', 'the fetch was cancelled');
  }
}

/** `--mount-timeout` ran out before any member served the image, or none ever will. */
export class NoMemberError extends TetherfsError {
  /** @param code IMAGE_FORMAT when what they serve is no image. */
  constructor(reasons: string, code = 'NO_MEMBER') {
    super(code, `no member serves the image: ${reasons}`);
  }
}

/** A file could not be got from its one URL. */
export class FetchFailedError extends TetherfsError {
  /** Whether the server answered: asking again would not help then. */
  readonly answered: boolean;
  /** Whether more patience might have brought it. */
  readonly timedOut: boolean;
  /** There is no such file. */
  readonly missing: boolean;

  constructor(url: string, fault: MemberFault) {
    super('FETCH_FAILED', `cannot get ${url}: ${fault.what}`, { cause: fault });
    this.answered = !fault.transient;
    this.timedOut = fault.kind === 'timeout' && fault.asked;
    this.missing = fault.missing;
  }
}

/** A digest is known, but no member serves a hash tree that belongs to it. */
export class NoValidTreeError extends TetherfsError {
  /** @param missing there is none where one answers. */
  constructor(reasons: string, missing: boolean) {
    const way = missing ? '; "tetherfs image pack" makes it, beside the image' : '';
    super('NO_VALID_TREE', `no member serves the hash tree of the digest: ${reasons}${way}`);
  }
}
