/**
 * Which images the access logs of a member show to be in use, and whether they can be relied on to show it. A daemon asks each member
 * that it may still read from for its image at least every 75 minutes (src/members/heartbeat.ts), by the digest's name where the member
 * has it.
 */
import { basename } from 'node:path';
import { describeError } from '../base/errors.ts';
import { linesOf, parseLogLine, rotatedLogs } from './access-log.ts';

/** Within this time every image in use is asked for, with room to spare; in ms. */
export const heartbeatWithinMs = 2 * 3_600_000;

export interface ImageUse {
  /** When each digest (64 hexadecimal digits) was last asked for, in ms since 1970; only within the time looked at. */
  readonly lastAsked: ReadonlyMap<string, number>;
  /** When each path of an image was last asked for with success, by any name: `/confluent-public/os/demo/rootimg.sfs`. */
  readonly lastPaths: ReadonlyMap<string, number>;
  /** Lines that are no access log's, by log. A digest that is in one counts as asked for. */
  readonly unparsable: ReadonlyMap<string, number>;
  /** Why the logs may not show everything. Empty: they do. */
  readonly doubts: readonly string[];
}

/** A successful request for any image: what proves that the log holds such requests. */
const imageRequest = /^GET (\S*\/rootimg(?:-[0-9a-f]{64})?\.sfs)(?:\?\S*)? /;

/** Reads the logs, rotated ones included, for requests from `since` to `now` (ms since 1970). Never throws. */
export async function imageUse(logs: readonly string[], since: number, now: number): Promise<ImageUse> {
  const lastAsked = new Map<string, number>();
  const lastPaths = new Map<string, number>();
  const doubts: string[] = [];
  const unparsable = new Map<string, number>();
  const note = (line: string, time: number) => {
    for (const [digits] of line.matchAll(/[0-9a-f]{64}/gi)) {
      const hex = digits.toLowerCase();
      lastAsked.set(hex, Math.max(time, lastAsked.get(hex) ?? 0));
    }
  };

  for (const log of logs) {
    let oldest = Number.POSITIVE_INFINITY;
    let newest = Number.NEGATIVE_INFINITY;
    try {
      for (const { path, modified } of await rotatedLogs(log)) {
        for await (const line of linesOf(path)) {
          const parsed = parseLogLine(line);
          if (parsed === undefined) {
            unparsable.set(path, (unparsable.get(path) ?? 0) + 1);
            note(line, now);
            continue;
          }
          const { time, request, status } = parsed;
          oldest = Math.min(oldest, time);
          newest = Math.max(newest, time);
          // nothing was written to it since: all that matters is that it reaches back that far
          if (modified < since) break;
          if (time < since) continue;
          note(line, time);
          const [, image] = imageRequest.exec(request) ?? [];
          if ((status === 200 || status === 206) && image !== undefined)
            lastPaths.set(image, Math.max(time, lastPaths.get(image) ?? 0));
        }
      }
      doubts.push(...doubtsAbout(log, oldest, newest, since, now));
    } catch (error) {
      doubts.push(`${log} cannot be read: ${describeError(error)}`);
    }
  }
  if (doubts.length === 0 && lastPaths.size === 0) {
    const names = logs.map((log) => basename(log)).join(', ');
    doubts.push(`no request for any image in all that time in ${names}: does the server log them there?`);
  }
  return { lastAsked, lastPaths, unparsable, doubts };
}

function doubtsAbout(log: string, oldest: number, newest: number, since: number, now: number): string[] {
  const date = (time: number) => new Date(time).toISOString();
  if (oldest === Number.POSITIVE_INFINITY) return [`${log} has no line in the common or combined format`];
  if (oldest > since) return [`${log} and what was rotated begin only at ${date(oldest)}, after ${date(since)}`];
  if (newest < now - heartbeatWithinMs) {
    return [`${log} ends at ${date(newest)}: the server may be writing to another`];
  }
  if (newest > now + heartbeatWithinMs) return [`${log} has lines of the future, ${date(newest)}: is the clock right?`];
  return [];
}
