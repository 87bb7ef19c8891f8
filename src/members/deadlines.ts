/**
 * When late is late, from a member's own distribution of times to first byte. All in ms. What happens when each fires is in
 * docs/members-and-hedging.md.
 */
import type { LatencyWindow } from './latency.ts';

/** Before a member's first sample: a WAN's round trip and TLS fit, and a black hole costs no more than this. */
const untriedStallMs = 1_000;
const untriedHedgeMs = 50;
/** Below this a stall is not told from a server's busy disk or a busy CPU of ours. */
const shortestStallMs = 50;
/** 4 x p99 is far beyond the usual, and this long is too long for a reader in any case … */
const longestStallMs = 150;
/** … except with a member whose usual answers take longer. */
const slowMemberFactor = 1.5;

/** So many times longer than usual no healthy member takes. */
const crawlFactor = 4;

const longestOverdueMs = 10_000;

/** No progress at all for this long: the member is suspect, and its spans are retried elsewhere. */
export function stallAfter(window: LatencyWindow): number {
  const p99 = window.quantile(0.99);
  if (p99 === undefined) return untriedStallMs;
  return Math.max(Math.min(4 * p99, longestStallMs), slowMemberFactor * p99, shortestStallMs);
}

/** No first byte for this long after the start: a hedge is sent, if the budget has one. One answer in fifty is later. */
export function hedgeAfter(window: LatencyWindow): number {
  const p50 = window.quantile(0.5);
  const p98 = window.quantile(0.98);
  if (p50 === undefined || p98 === undefined) return untriedHedgeMs;
  return Math.max(p98, 2 * p50 + 5);
}

/** The answer has begun, but not ended after this long where `usualMs` is usual: it crawls; a hedge is sent, if the budget has one. */
export function crawlsAfter(window: LatencyWindow, usualMs: number): number {
  return hedgeAfter(window) + crawlFactor * usualMs;
}

/**
 * A span that takes longer than this from start to end crawls, whatever its progress: it is retried elsewhere. Bounded, because what is usual of a
 * member that crawls may be minutes, while another has come back; where there is no other, patience grows (fetch.ts).
 */
export function overdueAfter(usualMs: number): number {
  return Math.min(Math.max(1_000, crawlFactor * usualMs), longestOverdueMs);
}
