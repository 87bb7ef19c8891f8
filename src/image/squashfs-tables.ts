/**
 * The metadata of a squashfs 4.0: tables cut into blocks of 8 KiB, each compressed by itself (linux/fs/squashfs/cache.c, squashfs_fs.h). The
 * image is an administrator's own, but may be damaged: every offset is checked before it is used.
 */
import type { ByteRange } from '../base/byte-range.ts';
import { rangeEnd } from '../base/byte-range.ts';
import { ImageFormatError } from './errors.ts';
import type { ImageSource } from './image-source.ts';

/** Bytes of a metadata block before compression; only the last of a table has fewer. */
export const metadataBlockSize = 8192;

/** Decompresses blocks, each of which was compressed by itself and is at most `largest` bytes long then. */
export type Decompress = (blocks: readonly Uint8Array[], largest: number) => Promise<readonly Uint8Array[]>;

const storedBit = 0x8000;
const lengthMask = 0x7fff;

/** A table, decompressed. */
export class MetadataTable {
  readonly bytes: Buffer;
  /** Of each block, where it begins in the table as it lies in the image -> where in `bytes`. */
  readonly #blocks: ReadonlyMap<number, number>;

  private constructor(bytes: Buffer, blocks: ReadonlyMap<number, number>) {
    this.bytes = bytes;
    this.#blocks = blocks;
  }

  /** @throws ImageFormatError when it is damaged. */
  static async read(source: ImageSource, range: ByteRange, decompress: Decompress): Promise<MetadataTable> {
    const raw = Buffer.from(range.length === 0 ? [] : await source.read(range));
    const starts: number[] = [];
    const contents: Uint8Array[] = [];
    const compressed: number[] = [];
    for (let at = 0; at < raw.length; ) {
      if (at + 2 > raw.length) throw damaged(range.offset + at);
      const header = raw.readUInt16LE(at);
      const length = header & lengthMask;
      if (length === 0 || length > metadataBlockSize || at + 2 + length > raw.length) throw damaged(range.offset + at);
      if ((header & storedBit) === 0) compressed.push(contents.length);
      starts.push(at);
      contents.push(raw.subarray(at + 2, at + 2 + length));
      at += 2 + length;
    }
    const packed = compressed.map((index) => contents[index] ?? new Uint8Array());
    for (const [turn, clear] of (await decompress(packed, metadataBlockSize)).entries()) {
      contents[compressed[turn] ?? 0] = clear;
    }
    const short = contents.findIndex((block) => block.length !== metadataBlockSize);
    if (short >= 0 && short < contents.length - 1) throw damaged(range.offset + (starts[short] ?? 0));
    const blocks = new Map(starts.map((start, index) => [start, index * metadataBlockSize]));
    return new MetadataTable(Buffer.concat(contents), blocks);
  }

  /** Where in `bytes` that is which squashfs calls byte `offset` of the block at `start`. @throws ImageFormatError */
  position(start: number, offset: number): number {
    const block = this.#blocks.get(start);
    if (block === undefined || offset >= metadataBlockSize || block + offset > this.bytes.length) {
      throw new ImageFormatError(`squashfs is damaged: its metadata have no byte ${offset} of a block at ${start}`);
    }
    return block + offset;
  }
}

/**
 * Entries of a table whose blocks are found by a list of their offsets (fragments, ids, export), as one run of bytes.
 * @param entrySize bytes of an entry. @throws ImageFormatError
 */
export async function readIndexedTable(
  source: ImageSource,
  table: { readonly index: number; readonly count: number; readonly entrySize: number },
  decompress: Decompress,
): Promise<Buffer> {
  const { index, count, entrySize } = table;
  if (count === 0) return Buffer.alloc(0);
  const first = await firstBlockOf(source, index);
  const { bytes } = await MetadataTable.read(source, { offset: first, length: index - first }, decompress);
  if (bytes.length < count * entrySize) throw damaged(first);
  return bytes.subarray(0, count * entrySize);
}

/** Where the blocks begin that the list at `index` tells of: they lie in front of it. @throws ImageFormatError */
export async function firstBlockOf(source: ImageSource, index: number): Promise<number> {
  const list = { offset: index, length: 8 };
  if (rangeEnd(list) > source.size) throw damaged(index);
  const first = Number(Buffer.from(await source.read(list)).readBigUInt64LE());
  if (first >= index) throw damaged(index);
  return first;
}

function damaged(offset: number): ImageFormatError {
  return new ImageFormatError(`squashfs is damaged: its metadata at byte ${offset} make no sense`);
}
