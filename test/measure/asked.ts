import type { Nginx } from '../support/nginx.ts';

/** First and last byte of each range that was asked for, in the order in which the answers ended. */
export function rangesOf(server: Nginx): number[][] {
  return server.requests().map(({ range }) => (/^bytes=(\d+)-(\d+)$/.exec(range) ?? []).slice(1).map(Number));
}
