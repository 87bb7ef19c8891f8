/**
 * A trace: the order in which a boot first touched the chunks of an image, as a small text file that lies beside it
 * (docs/image-format.md). It comes from untrusted places: a wrong one makes the next boot fetch what it does not need, and no more.
 */
import { TraceError } from './errors.ts';
import { type ChunkIndex, chunkIndex, ImageGeometry } from './geometry.ts';

/** Appended to an image's path or URL. */
export const traceSuffix = '.trace';
/** Bytes of a trace file at most. */
export const largestTraceSize = 1 << 20;

/** Neighbouring chunks, touched one after the other. */
export interface TraceRun {
  readonly first: ChunkIndex;
  /** Chunks, at least 1. */
  readonly count: number;
}

export interface Trace {
  /** Of the image, `sha256:…`. */
  readonly digest: string;
  /** Bytes of the image as served. */
  readonly imageSize: number;
  /** Bytes of a chunk. */
  readonly chunkSize: number;
  /** In the order of touch. All within the image; together not more chunks than it has, but some may come twice. */
  readonly runs: readonly TraceRun[];
}

const smallestChunk = 4096;
const largestChunk = 1 << 20;
/** Chunks that are taken from a trace: more than a boot reads, and bounds what a hostile one costs in memory. */
const mostChunks = 1 << 20;

/** The text of a trace file. `chunks` in the order of touch; one that comes again, and what exceeds the largest file, is left out. */
export function formatTrace(trace: Omit<Trace, 'runs'> & { readonly chunks: Uint32Array }): string {
  const { digest, imageSize, chunkSize, chunks } = trace;
  const lines = [`tetherfs-trace 1`, `digest ${digest}`, `image-size ${imageSize}`, `chunk-size ${chunkSize}`, ''];
  let text = lines.join('\n');
  for (const { first, count } of runsOf(new Set(chunks))) {
    const line = `${first} ${count}\n`;
    if (text.length + line.length > largestTraceSize) break;
    text += line;
  }
  return text;
}

function* runsOf(chunks: Iterable<number>): Generator<TraceRun> {
  let first = 0;
  let count = 0;
  for (const chunk of chunks) {
    if (count > 0 && chunk === first + count) {
      count++;
      continue;
    }
    if (count > 0) yield { first: chunkIndex(first), count };
    first = chunk;
    count = 1;
  }
  if (count > 0) yield { first: chunkIndex(first), count };
}

/**
 * Reads a trace file, and refuses one of another image than `expected` (when that is known).
 * @throws TraceError with the line that is wrong.
 */
export function parseTrace(file: Uint8Array | string, expected?: Pick<Trace, 'digest' | 'imageSize'>): Trace {
  if (file.length > largestTraceSize) throw new TraceError(1, `the file has more than ${largestTraceSize} bytes`);
  const text = typeof file === 'string' ? file : Buffer.from(file).toString('latin1');
  const lines = text.split('\n');
  const header = (line: number, form: RegExp) => {
    const found = form.exec(lines[line - 1] ?? '')?.[1];
    if (found === undefined) throw new TraceError(line, `${quoted(lines[line - 1])} is not what belongs there`);
    return found;
  };
  if (!/^tetherfs-trace \d+$/.test(lines[0] ?? ''))
    throw new TraceError(1, `${quoted(lines[0])}: this is no trace of tetherfs`);
  header(1, /^tetherfs-trace (1)$/);
  const digest = header(2, /^digest (sha256:[0-9a-f]{64})$/);
  const imageSize = Number(header(3, /^image-size ([1-9]\d{0,14})$/));
  const chunkSize = Number(header(4, /^chunk-size ([1-9]\d{3,6})$/));
  if (expected !== undefined && digest !== expected.digest) {
    throw new TraceError(2, `belongs to another image: ${digest} instead of ${expected.digest}`);
  }
  if (expected !== undefined && imageSize !== expected.imageSize) {
    throw new TraceError(3, `belongs to an image of ${imageSize} bytes instead of ${expected.imageSize}`);
  }
  if (chunkSize < smallestChunk || chunkSize > largestChunk || !Number.isInteger(Math.log2(chunkSize))) {
    throw new TraceError(4, `${chunkSize} is no power of two from ${smallestChunk} to ${largestChunk}`);
  }
  if (lines.at(-1) !== '') throw new TraceError(lines.length, 'is cut off');
  return { digest, imageSize, chunkSize, runs: parseRuns(lines, new ImageGeometry(imageSize, chunkSize)) };
}

/** Below the header, up to the empty line after the last newline. */
function parseRuns(lines: readonly string[], { chunkCount }: ImageGeometry): TraceRun[] {
  const runs: TraceRun[] = [];
  let total = 0;
  for (let index = 4; index < lines.length - 1; index++) {
    const [, first, count] = (/^(0|[1-9]\d{0,9}) ([1-9]\d{0,9})$/.exec(lines[index] ?? '') ?? []).map(Number);
    if (first === undefined || count === undefined) {
      throw new TraceError(index + 1, `${quoted(lines[index])} is no run of chunks`);
    }
    if (first + count > chunkCount) throw new TraceError(index + 1, `the image has only ${chunkCount} chunks`);
    total += count;
    if (total > chunkCount) throw new TraceError(index + 1, 'more chunks in all than the image has');
    runs.push({ first: chunkIndex(first), count });
  }
  return runs;
}

/** The chunks of the image that a trace names, whatever size its own have: each once, in order, the first million or so. */
export function traceChunks(trace: Trace, geometry: ImageGeometry): Uint32Array {
  const traced = new ImageGeometry(trace.imageSize, trace.chunkSize);
  const seen = new Uint8Array(geometry.chunkCount);
  const chunks: number[] = [];
  for (const { first, count } of trace.runs) {
    const span = geometry.chunksIn(traced.rangeOf(first, count));
    for (let chunk: number = span.first; chunk < span.first + span.count; chunk++) {
      if (seen[chunk] === 1) continue;
      if (chunks.length === mostChunks) return Uint32Array.from(chunks);
      seen[chunk] = 1;
      chunks.push(chunk);
    }
  }
  return Uint32Array.from(chunks);
}

function quoted(line = ''): string {
  return JSON.stringify(line.slice(0, 40));
}
