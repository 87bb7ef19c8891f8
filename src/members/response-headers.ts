/** What the headers of an answer say, as far as they are believed. */
import { isDigestName } from '../base/digest-name.ts';
import { shownUrl } from '../base/file-url.ts';
import type { MemberUrl } from './member-url.ts';

export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The header's value; a repeated header is joined, and so fits no check. */
export function header(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** Of Content-Length, which may be followed by blanks (RFC 9110, 5.5); undefined when it is missing or no number of bytes. */
export function announcedLength(headers: ResponseHeaders): number | undefined {
  const text = header(headers, 'content-length')?.trim();
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Of another moment, or another connection: RFC 9110, 15.5.9 and 15.5.20; RFC 4918, 11.3; RFC 8470, 5.2; RFC 6585, 4. */
const notNow: ReadonlySet<number> = new Set([408, 421, 423, 425, 429]);

/** These and 5xx (RFC 9110, 15.6) say that it cannot now; what else is no answer, that it never can. */
export function refusalKind(status: number): 'busy' | 'status' {
  return notNow.has(status) || status >= 500 ? 'busy' : 'status';
}

/** There is no such file. RFC 9110, 15.5.5 and 15.5.11. */
export function isMissing(status: number): boolean {
  return status === 404 || status === 410;
}

/** An answer that is none, and what that mostly means. */
export function describeStatus(status: number): string {
  const meaning: Readonly<Record<number, string>> = {
    400: 'the server does not understand: is this the port for https?',
    401: 'the server wants a password: images are public',
    403: 'the server may not read it, or a signed URL has run out',
    404: 'no such file there: is the path right?',
    429: 'the server has too much to do',
    503: 'the server has too much to do, or is being serviced',
  };
  return `status ${status}${meaning[status] === undefined ? '' : `: ${meaning[status]}`}`;
}

/** What was done to the body; undefined when nothing. `aws-chunked` says how an object came into its store, and is kept by some. */
export function contentEncoding(headers: ResponseHeaders): string | undefined {
  const applied = (header(headers, 'content-encoding') ?? '')
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => !['', 'identity', 'aws-chunked'].includes(coding));
  return applied.length === 0 ? undefined : applied.join(', ');
}

/**
 * What to write instead: what is redirected to is not followed, because a member serves the image itself.
 * @param asked what was asked for: the file of `url`, or one beside it, whose name has `suffix` besides.
 */
export function describeRedirect(
  status: number,
  headers: ResponseHeaders,
  { url, suffix = '' }: { url: MemberUrl; suffix?: string },
): string {
  if (status === 304) return 'answers with status 304, not modified, to who has nothing yet: what caches in between?';
  const location = header(headers, 'location') ?? '';
  const target = URL.parse(location, `${url.secure ? 'https' : 'http'}://${url.hostHeader}${url.path}${suffix}`);
  if (location === '' || target === null)
    return `redirects (status ${status}) to nowhere: give the URL of the file itself`;
  // The URL to give is the image's, not that of what lies beside it, nor that of its digest.
  if (target.pathname.endsWith(suffix))
    target.pathname = target.pathname.slice(0, target.pathname.length - suffix.length);
  if (isDigestName(target.pathname)) target.pathname = target.pathname.replace(/-[0-9a-f]{64}(?=(\.[^.]*)?$)/, '');
  const signed = target.search === '' ? '' : ' (with its query, which is not shown)';
  return `redirects (status ${status}): give its target instead, ${shownUrl(target.href).slice(0, 500)}${signed}`;
}
