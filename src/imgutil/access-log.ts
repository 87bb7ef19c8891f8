/**
 * Access logs of nginx and Apache in the common or combined format (also with a virtual host in front), with what logrotate made of
 * older ones: FILE.1, FILE.2.gz, FILE-20261122.gz. https://httpd.apache.org/docs/2.4/logs.html#accesslog
 */
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

export interface LoggedRequest {
  /** ms since 1970. */
  readonly time: number;
  /** The request line as it is in the log: `GET /path HTTP/1.1`, or whatever the client sent. */
  readonly request: string;
  readonly status: number;
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** Host and user, `[23/Nov/2026:03:08:48 +0100]`, `"request"`, status, bytes; what follows is not looked at. */
const line =
  /^[^[]+\[(\d\d)\/([A-Z][a-z]{2})\/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\] "((?:[^"\\]|\\.)*)" (\d{3}) (?:\d+|-)(?: |$)/;

/** undefined for a line of another format, or half of one. */
export function parseLogLine(text: string): LoggedRequest | undefined {
  const [, day, month, year, hours, minutes, seconds, sign, zoneHours, zoneMinutes, request, status] =
    line.exec(text) ?? [];
  if (request === undefined || month === undefined) return undefined;
  const monthIndex = months.indexOf(month);
  const local = Date.UTC(Number(year), monthIndex, Number(day), Number(hours), Number(minutes), Number(seconds));
  const read = new Date(local);
  // 31 February, 25:61
  if (monthIndex < 0 || read.getUTCDate() !== Number(day) || read.getUTCMinutes() !== Number(minutes)) return undefined;
  const zone = (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60_000;
  return { time: sign === '-' ? local + zone : local - zone, request, status: Number(status) };
}

/** The log and its rotated siblings, those written last first. @throws the error of readdir(2) or stat(2) */
export async function rotatedLogs(path: string): Promise<{ path: string; modified: number }[]> {
  const name = basename(path);
  const rotated = (other: string) => other.startsWith(name) && /^[.-]\d+(\.gz)?$/.test(other.slice(name.length));
  const names = (await readdir(dirname(path))).filter((other) => other === name || rotated(other));
  // so that a log that is not there is an error
  const files = new Set([name, ...names]);
  const found = [...files].map(async (file) => {
    const { mtimeMs } = await stat(join(dirname(path), file));
    return { path: join(dirname(path), file), modified: mtimeMs };
  });
  return (await Promise.all(found)).sort((a, b) => b.modified - a.modified);
}

/** A longer line is no access log's. Bytes. */
const longestLine = 1 << 20;

/** Lines of a log, gzipped or not. Bytes beyond ASCII come as Latin-1. @throws Error when it cannot be read to its end. */
export async function* linesOf(path: string): AsyncGenerator<string> {
  const file = createReadStream(path);
  let stream: Readable = file;
  if (await isGzip(path)) {
    const gunzip = createGunzip();
    file.on('error', (error) => gunzip.destroy(error));
    stream = file.pipe(gunzip);
  }
  try {
    let rest = '';
    for await (const piece of stream.setEncoding('latin1')) {
      const lines = `${rest}${piece}`.split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > longestLine) throw new Error(`${path} has a line of more than ${longestLine} bytes`);
      yield* lines;
    }
    if (rest !== '') yield rest;
  } finally {
    file.destroy();
  }
}

async function isGzip(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, 0);
    return buffer.readUInt16BE(0) === 0x1f8b;
  } finally {
    await file.close();
  }
}
