/**
 * One GET on one connection: steps, head, body, end or fault, in that order, with the transport's many ways to fail told
 * apart. What a good answer is, is the listener's business: it throws a MemberFault to refuse one. What else it throws is a defect of
 * ours, and reported as one. After `abort` nothing more is heard.
 */
import { constants } from 'node:os';
import type { Dispatcher } from 'undici';
import { describeError, errorCode, shownText } from '../base/errors.ts';
import type { Connection, ShownCertificate } from './connections.ts';
import { MemberFault } from './errors.ts';
import type { MemberUrl } from './member-url.ts';
import { announcedLength, type ResponseHeaders } from './response-headers.ts';

export interface GetListener {
  /** The connection came forward: TCP, TLS. */
  onStep(): void;
  /** The request was written to an established connection. */
  onSent(): void;
  /** @throws MemberFault to refuse the response. */
  onHead(status: number, headers: ResponseHeaders): void;
  /** The view is dead when it returns. @throws MemberFault to refuse the response. */
  onData(bytes: Uint8Array): void;
  /** The response is complete. @throws MemberFault when it is not what was promised. */
  onEnd(): void;
  /** It failed; nothing follows. The connection is not to be used again. */
  onFault(fault: MemberFault): void;
}

export interface Get {
  /** Ends it silently. The connection must be discarded afterwards. */
  abort(): void;
}

export interface GetTarget {
  readonly url: MemberUrl;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** First byte that is asked for: shown in faults. */
  readonly offset?: number;
}

export function get(connection: Connection, target: GetTarget, listener: GetListener): Get {
  const { url, path, offset } = target;
  let over = false;
  let announced: number | undefined;
  let received = 0;
  let phase: Phase = connection.established ? 'waiting' : 'connecting';

  const fail = (error: unknown): void => {
    if (over) return;
    over = true;
    listener.onFault(error instanceof MemberFault ? error : transportFault(error, phase, url, offset));
  };
  /** Lets the listener speak; what it throws ends the exchange. */
  const attempt = (controller: Dispatcher.DispatchController, step: () => void): void => {
    if (over) return;
    try {
      step();
    } catch (error) {
      fail(error instanceof MemberFault ? error : defect(error, url));
      controller.abort(error instanceof Error ? error : new Error(String(error)));
    }
  };

  const end = (controller: Dispatcher.DispatchController): void =>
    attempt(controller, () => {
      listener.onEnd();
      over = true;
    });

  connection.onStep = () => {
    if (!over) listener.onStep();
  };
  connection.dispatch(
    { method: 'GET', path, headers: { 'accept-encoding': 'identity', ...target.headers } },
    {
      onRequestStart: (controller) => {
        phase = 'waiting';
        attempt(controller, () => listener.onSent());
      },
      onResponseStart: (controller, status, headers) => {
        // 1xx are not the answer yet
        if (status < 200) return;
        phase = 'body';
        announced = announcedLength(headers);
        attempt(controller, () => listener.onHead(status, headers));
      },
      onResponseData: (controller, chunk) => {
        received += chunk.length;
        attempt(controller, () => listener.onData(chunk));
      },
      onResponseEnd: end,
      onResponseError: (controller, error) => {
        // undici takes a blank behind the number, which is legal (RFC 9110, 5.5), for a digit, and misses bytes that nobody announced.
        const isWhole = errorCode(error) === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' && received === announced;
        if (isWhole) end(controller);
        else fail(error);
      },
    },
  );
  return {
    abort: () => {
      over = true;
    },
  };
}

function defect(cause: unknown, url: MemberUrl): MemberFault {
  return new MemberFault('defect', url.text, `a defect of tetherfs: ${describeError(cause)}`, { cause });
}

/** What connections.ts notes on it. */
function certificateShown(error: unknown): ShownCertificate | undefined {
  return (error as { shown?: ShownCertificate }).shown;
}

function describeUntrusted(error: unknown, code: string): string {
  const { subject, issuer }: Partial<ShownCertificate> = certificateShown(error) ?? {};
  const names = issuer === undefined ? '' : `: ${subject} is signed by ${issuer}`;
  const which = issuer === undefined ? 'the CA' : 'that CA, or the certificate itself,';
  const ways = `name ${which} with --ca-file or --ca-dir, add it to the system's, or have the server send its whole chain`;
  return `its certificate is not signed by a known CA (${code}${names}): ${ways}`;
}

type Phase = 'connecting' | 'waiting' | 'body';

/** Codes of OpenSSL's certificate verification that a CA file can cure. */
const untrustedCodes = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

function transportFault(error: unknown, phase: Phase, url: MemberUrl, offset: number | undefined): MemberFault {
  const options = { cause: error, ...(offset !== undefined && { offset }) };
  const code = errorCode(error) ?? '';
  const text = describeError(error);
  const fault = (kind: MemberFault['kind'], what: string) => new MemberFault(kind, url.text, what, options);
  const final = (what: string) => new MemberFault('tls', url.text, what, { ...options, final: true });

  if (untrustedCodes.has(code)) return final(describeUntrusted(error, code));
  if (code === 'CERT_NOT_YET_VALID' || code === 'CERT_HAS_EXPIRED') {
    const when = code === 'CERT_HAS_EXPIRED' ? 'has expired' : 'is not yet valid';
    const today = new Date().toISOString().slice(0, 10);
    const { subject, outOfDate = [] }: Partial<ShownCertificate> = certificateShown(error) ?? {};
    const own = outOfDate.length === 0 || outOfDate.includes(subject ?? '');
    const which = own ? 'its certificate' : `the certificate of a CA that signed its own (${outOfDate.join(', ')})`;
    return fault('tls', `${which} ${when} by this machine's clock (${today}): check the clock, or renew it`);
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const names = shownText((error as { cert?: { subjectaltname?: string } }).cert?.subjectaltname ?? '', 200);
    const those = names === '' ? 'none' : names;
    return final(`its certificate is for another name than ${url.hostname}: use a URL with a name it holds (${those})`);
  }
  const certificate = certificateShown(error);
  if (certificate !== undefined && phase === 'connecting' && !(code in constants.errno)) {
    return final(`its certificate (${certificate.subject}) is refused: ${text}: give it another`);
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    return final('it does not speak TLS: is this an http:// URL?');
  }
  if (/^(ERR_SSL_|ERR_TLS_|CERT_|INVALID_CA|ERROR_IN_CERT)/.test(code) || /secure TLS connection/.test(text)) {
    return fault('tls', `no TLS session: ${text}`);
  }
  if (error instanceof Error && error.name === 'HTTPParserError')
    return fault('protocol', `its answer is not HTTP/1.1: ${text}`);
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return fault('protocol', 'its answer has more than 16 KiB of headers');
  if (phase === 'waiting' && text === 'bad response') {
    return fault(
      'protocol',
      'it announces its answer (100 Continue, 101), though nobody asked for that: switch that off',
    );
  }
  if (code === 'ERR_ASSERTION') {
    return fault('protocol', `its answer is not one that can be understood: ${text}`);
  }
  if (phase === 'connecting') return fault('connect', describeUnreachable(error, code, text));
  if (phase === 'body' && code !== 'ECONNRESET') return fault('short-body', `the body ended early: ${text}`);
  const why = code === 'ECONNRESET' || code === 'EPIPE' ? 'it was closed by the server, or on the way' : text;
  return fault('reset', `the connection broke: ${why}`);
}

/** Node's errors of connect(2) carry where to. */
function describeUnreachable(error: unknown, code: string, text: string): string {
  const { address, port } = error as { address?: string; port?: number };
  const where = address === undefined ? 'there' : `at ${address} port ${port}`;
  switch (code) {
    case 'ECONNREFUSED':
      return `nothing listens ${where}: does its web server run?`;
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
      return `there is no way to ${address ?? 'it'}: is the network up, is the machine?`;
    case 'ETIMEDOUT':
      return `no answer ${where}: is the machine off, or does a firewall drop what is sent?`;
    default:
      return `cannot connect: ${text}`;
  }
}
