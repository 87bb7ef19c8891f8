/** Gets one small file from one member, whole: 200, unencoded, not longer than agreed. */
import { describeError } from '../base/errors.ts';
import type { TimeSource } from '../base/time-source.ts';
import { collectBody } from './collect-body.ts';
import type { FileJudge } from './contract.ts';
import { type FaultKind, MemberFault } from './errors.ts';
import { get } from './http-get.ts';
import type { Member } from './member.ts';
import type { MemberUrl } from './member-url.ts';
import type { Deadlines } from './patience.ts';
import {
  announcedLength,
  contentEncoding,
  describeRedirect,
  describeStatus,
  isMissing,
  refusalKind,
} from './response-headers.ts';

export interface WholeFile {
  /** One of the member's. */
  readonly url: MemberUrl;
  /** What is appended to its path. */
  readonly suffix: string;
  /** Longer files are refused. */
  readonly maxBytes: number;
  /** What its first bytes tell, before the others are taken. */
  readonly judge?: FileJudge | undefined;
  readonly deadlines: Deadlines;
}

/** On a connection of its own, so that no read waits behind it; closed at once when `signal` is aborted. @throws MemberFault */
export async function readWhole(
  member: Member,
  { url, suffix, maxBytes, judge, deadlines }: WholeFile,
  time: TimeSource,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { addresses, pool } = member;
  const name = url.fileName + suffix;
  const fault = (kind: FaultKind, what: string, missing = false) =>
    new MemberFault(kind, url.text + suffix, `${name} ${what}`, { missing });
  await addresses.resolved();
  signal.throwIfAborted();
  const connection = pool.takeFresh();
  const hangUp = () => pool.discard(connection);
  signal.addEventListener('abort', hangUp, { once: true });
  let received = 0;
  let limit = maxBytes;
  let head: Uint8Array | undefined = new Uint8Array();
  const look = (piece: Uint8Array) => {
    if (judge === undefined || head === undefined) return;
    head = Buffer.concat([head, piece.subarray(0, judge.headBytes - head.length)]);
    if (head.length < judge.headBytes) return;
    try {
      limit = Math.min(maxBytes, judge.lengthBy(head));
    } catch (error) {
      throw new MemberFault('format', url.text + suffix, describeError(error));
    }
    head = undefined;
  };
  try {
    const { bytes } = await collectBody(url.text, time, deadlines, (events) =>
      get(
        connection,
        { url, path: url.path + suffix + url.query },
        {
          ...events,
          onHead(status, headers) {
            if (status >= 300 && status < 400)
              throw fault('redirect', describeRedirect(status, headers, { url, suffix }));
            if (status !== 200)
              throw fault(refusalKind(status), `answers with ${describeStatus(status)}`, isMissing(status));
            const encoding = contentEncoding(headers);
            if (encoding !== undefined)
              throw fault('encoding', `comes compressed (${encoding}): switch that off for it`);
            const announced = announcedLength(headers) ?? 0;
            if (announced > maxBytes)
              throw fault('long-body', `has ${announced} bytes, more than the ${maxBytes} it may have`);
            events.onStep();
          },
          onData(piece) {
            look(piece);
            received += piece.length;
            if (received > limit) throw fault('long-body', `is longer than ${limit} bytes`);
            events.onData(piece);
          },
        },
      ),
    );
    pool.giveBack(connection);
    return bytes;
  } catch (error) {
    hangUp();
    throw error;
  } finally {
    signal.removeEventListener('abort', hangUp);
  }
}
