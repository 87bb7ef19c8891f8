/** Several boots of one image as one: what most of them read, in the order of the middle one. */
import { UsageError } from '../base/errors.ts';
import { type ChunkIndex, chunkIndex, ImageGeometry } from './geometry.ts';
import { formatTrace, type Trace, traceChunks } from './trace.ts';

/**
 * The text of a trace with the chunks that more than half of the boots read, each at the median of its places in them; chunks are as large as the
 * smallest of theirs.
 * @throws UsageError when they are not all of one image.
 */
export function mergeTraces(traces: readonly Trace[]): string {
  const [first, ...others] = traces;
  if (first === undefined) throw new UsageError('there is no trace to merge');
  const { digest, imageSize } = first;
  const stranger = others.find((trace) => trace.digest !== digest || trace.imageSize !== imageSize);
  if (stranger !== undefined) {
    throw new UsageError(`the traces are of different images: ${digest} and ${stranger.digest}`);
  }
  const chunkSize = Math.min(...traces.map((trace) => trace.chunkSize));
  const places = new Map<ChunkIndex, number[]>();
  for (const trace of traces) {
    for (const [place, chunk] of traceChunks(trace, new ImageGeometry(imageSize, chunkSize)).entries()) {
      const index = chunkIndex(chunk);
      const known = places.get(index);
      if (known === undefined) places.set(index, [place]);
      else known.push(place);
    }
  }
  const kept = [...places].filter(([, found]) => found.length * 2 > traces.length);
  const ordered = kept.map(([chunk, found]) => ({ chunk, place: median(found) }));
  ordered.sort((a, b) => a.place - b.place || a.chunk - b.chunk);
  return formatTrace({ digest, imageSize, chunkSize, chunks: Uint32Array.from(ordered.map(({ chunk }) => chunk)) });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = 0, high = 0] =
    sorted.length % 2 === 1 ? [sorted[middle], sorted[middle]] : sorted.slice(middle - 1, middle + 1);
  return (low + high) / 2;
}
