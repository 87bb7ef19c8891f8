/**
 * Members as a file names them, one a line: the URL of the image on each; or confluent's confluent.info, whose MANAGER and EXTMGRINFO lines hold addresses
 * (`10.0.0.1`, `fe80::1%3`) or names, on which the image lies where it does on a member whose URL is known.
 */
import { isIP } from 'node:net';
import { UsageError } from '../base/errors.ts';
import { type FileUrl, isFileUrl, parseFileUrl } from '../base/file-url.ts';

/** Bytes. */
export const largestMembersFile = 256 * 1024;

export interface MembersFile {
  /** Where the text was found, for messages. */
  path: string;
  /** Whose scheme, port and path an address gets; undefined when no URL is known. */
  like: FileUrl | undefined;
}

/** Each once, in the order of the file. @throws UsageError that names file and line, and when there is none. */
export function membersOfFile(text: string, { path, like }: MembersFile): [string, ...string[]] {
  const found = new Set<string>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const refuse = (why: string) => new UsageError(`${path}, line ${index + 1}: ${why}`);
    const [, fact, value = ''] = /^([A-Z][A-Z0-9_]*):\s*(.*)$/.exec(line) ?? [];
    if (fact === 'MANAGER' || fact === 'EXTMGRINFO') {
      if (like === undefined) throw refuse('it names an address: give the URL of the image on one member as well');
      found.add(urlAt(value.split('|')[0] ?? '', like, refuse));
    } else if (fact === undefined) {
      if (!isFileUrl(line)) throw refuse('neither an http:// or https:// URL nor a line of confluent.info');
      try {
        found.add(parseFileUrl(line).given);
      } catch (cause) {
        throw refuse(cause instanceof Error ? cause.message : String(cause));
      }
    }
  }
  const [first, ...others] = found;
  if (first === undefined) throw new UsageError(`${path} names no member: write a URL a line`);
  return [first, ...others];
}

function urlAt(text: string, like: FileUrl, refuse: (why: string) => UsageError): string {
  const [address = '', zone] = text.split('%');
  const family = isIP(address);
  const isName = family === 0 && zone === undefined && /^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$/.test(address);
  if ((family === 0 && !isName) || (zone !== undefined && !/^[A-Za-z0-9_.@-]+$/.test(zone))) {
    throw refuse(`"${text}" is no address, such as 10.0.0.1 or fe80::1%3, and no name`);
  }
  const host = family === 6 ? `[${address}${zone === undefined ? '' : `%25${zone}`}]` : address;
  return parseFileUrl(like.given.replace(/^([a-z]+:\/\/)(\[[^\]]*\]|[^/:]*)/i, `$1${host}`)).given;
}
