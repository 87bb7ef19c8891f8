/**
 * From the chunks that a boot touched to the files that it read, and from files to the chunks of another image that holds them: so a trace
 * survives a repack.
 */
import { type ByteRange, rangeEnd } from '../base/byte-range.ts';
import type { BootOrderItem } from './boot-order.ts';
import { chunkIndex, type ImageGeometry } from './geometry.ts';
import type { SquashfsFile, SquashfsFiles } from './squashfs-files.ts';

/** A squashfs in an image as served. */
export interface PlacedFiles {
  readonly geometry: ImageGeometry;
  readonly files: SquashfsFiles;
  /** Where the squashfs begins in the image as served, in bytes. */
  readonly payloadOffset: number;
}

/** What can be read of a file by itself: a block of its own, or, for a small file, the fragment that it shares. */
interface Piece extends ByteRange {
  readonly file: number;
  /** undefined: the fragment. */
  readonly block: number | undefined;
}

/** Neighbouring blocks of a file. */
interface Run {
  readonly file: number;
  readonly first: number;
  /** The block after the last. */
  end: number;
}

/**
 * The files whose bytes lie in these chunks. To read a block one needs all its chunks, so what lies in a chunk with only a part of it was not
 * read; of the small files that share a block all count, because nothing tells which it was.
 * @param chunks in the order of touch, each once.
 */
export function bootOrderOfChunks(chunks: Iterable<number>, placed: PlacedFiles): BootOrderItem[] {
  const { geometry, files: squashfs } = placed;
  const { files } = squashfs;
  const pieces = piecesOf(placed);
  const touched = new Uint8Array(geometry.chunkCount);
  const runs: Run[] = [];
  /** Blocks of each file that were read. */
  const counts = new Map<number, number>();
  for (const chunk of chunks) {
    if (touched[chunk] === 1) continue;
    touched[chunk] = 1;
    for (const { file, block, ...range } of within(pieces, geometry.rangeOf(chunkIndex(chunk)))) {
      if (!isTouched(range, geometry, touched)) continue;
      counts.set(file, (counts.get(file) ?? 0) + 1);
      const last = runs.at(-1);
      if (last?.file === file && last.end === block) last.end++;
      else runs.push({ file, first: block ?? 0, end: (block ?? 0) + 1 });
    }
  }
  const soFar = new Map<number, number>();
  return runs.flatMap((run) => {
    const file = files[run.file];
    if (file === undefined) return [];
    const all = piecesIn(file);
    if (counts.get(run.file) === all) {
      // At the place of its middle: what was touched of it before that may have come with a neighbour.
      const before = soFar.get(run.file) ?? 0;
      const now = before + run.end - run.first;
      soFar.set(run.file, now);
      return before * 2 <= all && now * 2 > all ? [{ path: file.path }] : [];
    }
    const offset = run.first * squashfs.blockSize;
    const end = Math.min(file.size, run.end * squashfs.blockSize);
    return [{ path: file.path, part: { offset, length: end - offset } }];
  });
}

/** The chunks that hold these files: first the metadata, without which no file is found, then the files in their order. Each chunk once. */
export function chunksOfBootOrder(items: Iterable<BootOrderItem>, placed: PlacedFiles): Uint32Array {
  const { files: squashfs, payloadOffset } = placed;
  const byPath = new Map(squashfs.files.map((file) => [file.path, file]));
  const chunks = new OrderedChunks(placed.geometry);
  for (const range of squashfs.metadata) chunks.add(range, payloadOffset);
  for (const { path, part } of items) {
    const file = byPath.get(path);
    if (file === undefined) continue;
    const first = Math.floor((part?.offset ?? 0) / squashfs.blockSize);
    const end = part === undefined ? file.blocks.length : Math.ceil((part.offset + part.length) / squashfs.blockSize);
    const blocks = file.blocks.slice(0, end);
    let offset = file.start;
    for (const [block, length] of blocks.entries()) {
      if (block >= first && length > 0) chunks.add({ offset, length }, payloadOffset);
      offset += length;
    }
    const fragment = file.fragment === undefined ? undefined : squashfs.fragments[file.fragment];
    if (fragment !== undefined && end >= file.blocks.length) chunks.add(fragment, payloadOffset);
  }
  return chunks.inOrder();
}

/** Those of the metadata, then `chunks`. Each once. */
export function metadataFirst(chunks: Iterable<number>, { geometry, files, payloadOffset }: PlacedFiles): Uint32Array {
  const ordered = new OrderedChunks(geometry);
  for (const range of files.metadata) ordered.add(range, payloadOffset);
  for (const chunk of chunks) ordered.add(geometry.rangeOf(chunkIndex(chunk)), 0);
  return ordered.inOrder();
}

class OrderedChunks {
  readonly #geometry: ImageGeometry;
  readonly #chunks = new Set<number>();

  constructor(geometry: ImageGeometry) {
    this.#geometry = geometry;
  }

  add({ offset, length }: ByteRange, payloadOffset: number): void {
    const end = Math.min(payloadOffset + offset + length, this.#geometry.imageSize);
    if (payloadOffset + offset >= end) return;
    const start = payloadOffset + offset;
    const { first, count } = this.#geometry.chunksIn({ offset: start, length: end - start });
    for (let chunk: number = first; chunk < first + count; chunk++) this.#chunks.add(chunk);
  }

  inOrder(): Uint32Array {
    return Uint32Array.from(this.#chunks);
  }
}

/** How many pieces must be read for all of the file: the fragment counts for files that have nothing else. */
function piecesIn({ blocks, fragment }: SquashfsFile): number {
  const own = blocks.filter((length) => length > 0).length;
  return own > 0 || fragment === undefined ? own : 1;
}

/** By offset in the image. Of files that share their blocks the first has them. */
function piecesOf({ files: { files, fragments }, payloadOffset }: PlacedFiles): Piece[] {
  const pieces: Piece[] = [];
  const shared = new Set<number>();
  for (const [number, file] of files.entries()) {
    const { blocks, fragment } = file;
    const hasData = blocks.some((length) => length > 0);
    if (piecesIn(file) === 0 || (hasData && shared.has(file.start))) continue;
    if (hasData) shared.add(file.start);
    let offset = payloadOffset + file.start;
    for (const [block, length] of blocks.entries()) {
      if (length > 0) pieces.push({ file: number, block, offset, length });
      offset += length;
    }
    const place = fragment === undefined || hasData ? undefined : fragments[fragment];
    if (place !== undefined) {
      pieces.push({ file: number, block: undefined, offset: payloadOffset + place.offset, length: place.length });
    }
  }
  return pieces.sort((a, b) => a.offset - b.offset);
}

/** The pieces with bytes in the range. */
function within(pieces: readonly Piece[], range: ByteRange): Piece[] {
  let low = 0;
  let high = pieces.length;
  // The first piece that ends behind the range's start: pieces do not overlap, but for those of one fragment.
  while (low < high) {
    const middle = (low + high) >> 1;
    const piece = pieces[middle];
    if (piece !== undefined && rangeEnd(piece) <= range.offset) low = middle + 1;
    else high = middle;
  }
  const found: Piece[] = [];
  for (let index = low; index < pieces.length; index++) {
    const piece = pieces[index];
    if (piece === undefined || piece.offset >= rangeEnd(range)) break;
    found.push(piece);
  }
  return found;
}

function isTouched(range: ByteRange, geometry: ImageGeometry, touched: Uint8Array): boolean {
  const { first, count } = geometry.chunksIn(range);
  return touched.subarray(first, first + count).every((one) => one === 1);
}
