/**
 * The URL of the image on one member, parsed once. `new URL()` refuses IPv6 zone ids (`[fe80::1%eth0]`, RFC 6874
 * `[fe80::1%25eth0]`, `[fe80::1%3]`), so the zone is taken out first: it belongs to the address that is connected to, and
 * neither into the Host header nor into the name that the certificate is checked against.
 */
import { isIP } from 'node:net';
import { digestName, isDigestName } from '../base/digest-name.ts';
import { UsageError } from '../base/errors.ts';

export interface MemberUrl {
  /** As the user wrote it: for logs and messages. */
  readonly text: string;
  readonly secure: boolean;
  /** Host without brackets and zone: what its certificate must name. */
  readonly hostname: string;
  readonly port: number;
  /** What to connect to when the host is an address (zone included); undefined when it is a name to resolve. */
  readonly address: string | undefined;
  /** Value of the Host header. */
  readonly hostHeader: string;
  /** Path of the request target, percent-encoded. */
  readonly path: string;
  /** Query of the request target with its `?`, or empty. */
  readonly query: string;
  /** Last component of the path, decoded: the name of the file in the mount. */
  readonly fileName: string;
}

const zonedHost = /^([a-z]+:\/\/\[[0-9a-f:.]+)%([^\]]+)\]/i;

/** @throws UsageError for anything that is not the http(s) URL of a file. */
export function parseMemberUrl(text: string): MemberUrl {
  const zone = decodeZone(zonedHost.exec(text)?.[2]);
  const url = URL.parse(zone === undefined ? text : text.replace(zonedHost, '$1]'));
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new UsageError(`${text}: not an http:// or https:// URL`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new UsageError('a member URL must not hold a user name or password: the image is public');
  }
  const secure = url.protocol === 'https:';
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  return {
    text,
    secure,
    hostname,
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    address: isIP(hostname) === 0 ? undefined : zone === undefined ? hostname : `${hostname}%${zone}`,
    hostHeader: url.host,
    path: url.pathname,
    query: url.search,
    fileName: fileNameOf(text, url.pathname),
  };
}

/** Where the same server keeps the image under its digest (64 hexadecimal digits); undefined when the URL names a digest already. */
export function urlByDigest(url: MemberUrl, hex: string): MemberUrl | undefined {
  if (isDigestName(url.fileName)) return undefined;
  const inLast = (path: string) => path.replace(/[^/]*$/, (name) => digestName(name, hex));
  const text = url.text.replace(/^[^?#]*/, inLast);
  return { ...url, text, path: inLast(url.path), fileName: digestName(url.fileName, hex) };
}

/** `%25eth0` is RFC 6874's spelling of zone eth0; a bare `%25` can only be interface number 25. */
function decodeZone(zone: string | undefined): string | undefined {
  return zone?.replace(/^25(?=.)/, '');
}

function fileNameOf(text: string, path: string): string {
  let name: string;
  try {
    name = decodeURIComponent(path.slice(path.lastIndexOf('/') + 1));
  } catch {
    throw new UsageError(`${text}: its last path component is not valid percent-encoding`);
  }
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new UsageError(`${text}: must end in a file name, such as rootimg.sfs`);
  }
  return name;
}
