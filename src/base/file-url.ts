/**
 * The http(s) URL of a file, parsed once, where it is said: on the command line, or in options that come over a socket. Everybody else takes what
 * was parsed. `new URL()` alone is too forgiving (it drops blanks around and tabs inside of what it is given, takes `\` for `/`, and needs no `//`),
 * so that text and meaning could differ. It also refuses IPv6 zone ids (`[fe80::1%eth0]`, RFC 6874's `[fe80::1%25eth0]`,
 * `[fe80::1%3]`); the zone is taken out first.
 */
import { UsageError } from './errors.ts';

export interface FileUrl {
  /** All of it, as it was given. Never to be shown: its query may be what opens the file (a signed URL). */
  readonly given: string;
  /** As it was given, without query and fragment: for logs, messages, metrics. */
  readonly text: string;
  readonly secure: boolean;
  /** Without the zone. */
  readonly url: URL;
  /** Of a link-local IPv6 address: the name of an interface, or its number. */
  readonly zone: string | undefined;
  /** Last component of the path, as it was given: percent-encoding is not decoded, as in confluent's urlmount. A valid name of a file. */
  readonly fileName: string;
}

const scheme = /^https?:/i;
const zonedHost = /^([a-z]+:\/\/\[[0-9a-f:.]+)%([^\]]+)\]/i;
/** RFC 4291, 2.4: fe80::/10. */
const linkLocal = /^\[fe[89ab][0-9a-f]:/;
/** NAME_MAX of Linux. */
const longestName = 255;

/** Whether a word that may be a path is meant as a URL. A file of such a name is given as `./http:…`. */
export function isFileUrl(text: string): boolean {
  return scheme.test(text.replace(/[\s\p{Cc}]/gu, ''));
}

/** @throws UsageError for anything that is not the http(s) URL of a file. */
export function parseFileUrl(given: string): FileUrl {
  const text = given.replace(/\?.*$/s, '');
  const refuse = (why: string) => new UsageError(`${shownUrl(given)}: ${why}`);
  if (/[\s\p{Cc}\p{Cf}\\]/u.test(given)) {
    throw refuse('a URL holds no blanks (write %20), control characters or backslashes');
  }
  if (given.includes('#')) throw refuse('a URL of a file has no fragment; write %23 for #');
  if (!scheme.test(given)) throw refuse('not an http:// or https:// URL');
  const zone = decodeZone(zonedHost.exec(given)?.[2]);
  const url = URL.parse(zone === undefined ? given : given.replace(zonedHost, '$1]'));
  if (url === null || !/^[a-z]+:\/\/[^/]/i.test(given)) throw refuse('not a valid http:// or https:// URL');
  if (zone === undefined && linkLocal.test(url.hostname))
    throw refuse('a link-local address is one of an interface: name that, such as [fe80::1%eth0]');
  if (url.port === '0') throw refuse('there is no port 0');
  if (/^[a-z]+:\/\/[^/?]*@/i.test(given)) {
    throw refuse('a URL must not hold a user name or password: images are public');
  }
  const fileName = /^[^/]*\/\/[^/]*\/.*?([^/]*)$/.exec(text)?.[1] ?? '';
  // It takes `%2e%2e` for `..`, and removes both.
  if (fileName === '' || url.pathname.endsWith('/')) throw refuse('must end in a file name, such as rootimg.sfs');
  if (Buffer.byteLength(fileName) > longestName) throw refuse(`its file name has more than ${longestName} bytes`);
  return { given, text, secure: url.protocol === 'https:', url, zone, fileName };
}

export function isValidFileUrl(text: string): boolean {
  try {
    parseFileUrl(text);
    return true;
  } catch {
    return false;
  }
}

/** The file whose name has a suffix besides, in the same folder of the same server. */
export function fileBeside(file: FileUrl, suffix: string): FileUrl {
  const url = new URL(file.url);
  url.pathname += suffix;
  const given = file.given.replace(/^[^?#]*/, (path) => path + suffix);
  return { ...file, given, text: file.text + suffix, url, fileName: file.fileName + suffix };
}

/** A URL that may be malformed in any way, without what may be a secret: query, fragment, user name and password. */
export function shownUrl(given: string): string {
  return given
    .replace(/[?#].*$/s, '')
    .replace(/^([a-z]+:\/*).*@/is, '$1')
    .replace(/[\p{Cc}\p{Cf}]/gu, '?');
}

/** `%25eth0` is RFC 6874's spelling of zone eth0; a bare `%25` can only be interface number 25. */
function decodeZone(zone: string | undefined): string | undefined {
  return zone?.replace(/^25(?=.)/, '');
}
