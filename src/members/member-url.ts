/**
 * The URL of the image on one member. An IPv6 zone belongs to the address that is connected to, and neither into the Host header nor into the
 * name that the certificate is checked against.
 */
import { isIP } from 'node:net';
import { digestName, isDigestName } from '../base/digest-name.ts';
import type { FileUrl } from '../base/file-url.ts';

export interface MemberUrl extends Pick<FileUrl, 'given' | 'text' | 'secure' | 'fileName'> {
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
}

/** Of all members, each once, however often it is named. Two that differ in their query alone are told apart by a number, because the query is not shown. */
export function memberUrls(files: readonly FileUrl[]): MemberUrl[] {
  const seen = new Map<string, number>();
  const named = new Map(files.map((file) => [file.given, file]));
  return [...named.values()].map((file) => {
    const number = (seen.get(file.text) ?? 0) + 1;
    seen.set(file.text, number);
    const url = memberUrl(file);
    return number === 1 ? url : { ...url, text: `${url.text} (${number})` };
  });
}

export function memberUrl({ given, text, secure, fileName, url, zone }: FileUrl): MemberUrl {
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  return {
    given,
    text,
    secure,
    fileName,
    hostname,
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    address: isIP(hostname) === 0 ? undefined : zone === undefined ? hostname : `${hostname}%${zone}`,
    hostHeader: url.host,
    path: url.pathname,
    query: url.search,
  };
}

/** Where the same server keeps the image under its digest (64 hexadecimal digits); undefined when the URL names a digest already. */
export function urlByDigest(url: MemberUrl, hex: string): MemberUrl | undefined {
  if (isDigestName(url.fileName)) return undefined;
  const inLast = (path: string) =>
    path.replace(/^([^?#]*\/)?([^/?#]*)/, (_, folder = '', name: string) => folder + digestName(name, hex));
  const { given, text, path, fileName } = url;
  return { ...url, given: inLast(given), text: inLast(text), path: inLast(path), fileName: digestName(fileName, hex) };
}
