/**
 * Spans: runs of neighbouring chunks that are asked for in one request.
 */
import { type ChunkIndex, chunkIndex } from '../image/geometry.ts';

export interface Span {
  readonly first: ChunkIndex;
  /** Chunks in the span, at least 1. */
  readonly count: number;
}

/** Puts chunks (any order, no repeats) together into spans of at most `most` chunks, in ascending order. */
export function coalesce(chunks: readonly ChunkIndex[], most: number): Span[] {
  const spans: { first: ChunkIndex; count: number }[] = [];
  for (const chunk of [...chunks].sort((a, b) => a - b)) {
    const last = spans.at(-1);
    if (last !== undefined && chunk === last.first + last.count && last.count < most) last.count++;
    else spans.push({ first: chunk, count: 1 });
  }
  return spans;
}

/** The chunks of a span, ascending. */
export function chunksOf(span: Span): ChunkIndex[] {
  return Array.from({ length: span.count }, (_, index) => chunkIndex(span.first + index));
}

/** Cuts a span into pieces that end on multiples of `size`, so that pieces cut at different times line up. */
export function cut(span: Span, size: number): Span[] {
  const pieces: Span[] = [];
  const end = span.first + span.count;
  for (let first: number = span.first; first < end; ) {
    const next = Math.min(end, (Math.floor(first / size) + 1) * size);
    pieces.push({ first: chunkIndex(first), count: next - first });
    first = next;
  }
  return pieces;
}
