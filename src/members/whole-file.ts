/** Gets one small file from one member, whole: 200, unencoded, not longer than agreed. */
import type { TimeSource } from '../base/time-source.ts';
import { collectBody } from './collect-body.ts';
import { type FaultKind, MemberFault } from './errors.ts';
import { get } from './http-get.ts';
import type { Member } from './member.ts';
import type { MemberUrl } from './member-url.ts';
import type { Deadlines } from './patience.ts';
import { contentEncoding, describeRedirect, refusalKind } from './range-request.ts';

export interface WholeFile {
  /** One of the member's. */
  readonly url: MemberUrl;
  /** What is appended to its path. */
  readonly suffix: string;
  /** Longer files are refused. */
  readonly maxBytes: number;
  readonly deadlines: Deadlines;
}

/** On a connection of its own, so that no read waits behind it; closed at once when `signal` is aborted. @throws MemberFault */
export async function readWhole(
  member: Member,
  { url, suffix, maxBytes, deadlines }: WholeFile,
  time: TimeSource,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { addresses, pool } = member;
  const name = url.fileName + suffix;
  const fault = (kind: FaultKind, what: string) => new MemberFault(kind, url.text + suffix, `${name} ${what}`);
  await addresses.resolved();
  signal.throwIfAborted();
  const connection = pool.takeFresh();
  const hangUp = () => pool.discard(connection);
  signal.addEventListener('abort', hangUp, { once: true });
  let received = 0;
  try {
    const { bytes } = await collectBody(url.text, time, deadlines, (events) =>
      get(
        connection,
        { url, path: url.path + suffix + url.query },
        {
          ...events,
          onHead(status, headers) {
            if (status >= 300 && status < 400) throw fault('redirect', describeRedirect(status, headers));
            if (status !== 200) throw fault(refusalKind(status), `answers with status ${status}`);
            if (contentEncoding(headers) !== undefined) throw fault('encoding', 'is encoded');
            events.onStep();
          },
          onData(piece) {
            received += piece.length;
            if (received > maxBytes) throw fault('long-body', `is longer than ${maxBytes} bytes`);
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
