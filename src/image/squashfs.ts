/**
 * The superblock of a squashfs 4.0 (linux/fs/squashfs/squashfs_fs.h), for showing what an image holds and for telling
 * whether a key fits. The filesystem itself is the kernel's business.
 */
import type { ByteRange } from '../base/byte-range.ts';
import { ImageFormatError } from './errors.ts';

/** Bytes of the superblock. */
export const superblockSize = 96;

const compressions = ['gzip', 'lzma', 'lzo', 'xz', 'lz4', 'zstd'] as const;
export type SquashfsCompression = (typeof compressions)[number];

export interface SquashfsSuperblock {
  readonly compression: SquashfsCompression;
  /** Bytes of a data block before compression. */
  readonly blockSize: number;
  /** Bytes of the filesystem; the file may be padded beyond them. */
  readonly bytesUsed: number;
  readonly inodes: number;
  /** When mksquashfs made it. */
  readonly madeAt: Date;
}

/** Offsets in bytes. Whatever lies behind the first of them is metadata. */
export interface SquashfsTables {
  readonly inodes: number;
  readonly directories: number;
  /** These three are lists of where the table's blocks begin, which lie in front of the list. */
  readonly fragments: number;
  /** undefined: there is none. */
  readonly exported: number | undefined;
  readonly ids: number;
  readonly fragmentCount: number;
  /** The root directory's inode: where its block begins in the table of inodes, and where it lies in that, decompressed. */
  readonly root: { readonly block: number; readonly offset: number };
}

/**
 * `head`: the first 96 bytes or more of a filesystem of `size` bytes.
 * @throws ImageFormatError when it is no squashfs 4.0, contradicts itself, or the filesystem is cut off.
 */
export function parseSuperblock(head: Uint8Array, size: number): SquashfsSuperblock {
  if (head.length < superblockSize)
    throw new ImageFormatError(`squashfs ends in its superblock, at byte ${head.length}`);
  const block = Buffer.from(head.buffer, head.byteOffset, superblockSize);
  if (block.toString('latin1', 0, 4) !== 'hsqs') throw new ImageFormatError('there is no squashfs superblock');
  const version = `${block.readUInt16LE(28)}.${block.readUInt16LE(30)}`;
  if (version !== '4.0') throw new ImageFormatError(`squashfs is of version ${version}; only 4.0 is known`);
  const compression = compressions[block.readUInt16LE(20) - 1];
  if (compression === undefined)
    throw new ImageFormatError(`squashfs compression ${block.readUInt16LE(20)} is not known`);
  const blockSize = block.readUInt32LE(12);
  const blockSizeLog = block.readUInt16LE(22);
  if (blockSizeLog < 12 || blockSizeLog > 20 || blockSize !== 2 ** blockSizeLog) {
    throw new ImageFormatError(`squashfs block size ${blockSize} with logarithm ${blockSizeLog} makes no sense`);
  }
  const bytesUsed = block.readBigUInt64LE(40);
  if (bytesUsed < superblockSize || bytesUsed > size) {
    throw new ImageFormatError(
      `squashfs says it has ${bytesUsed} bytes, but there are ${size}: it is cut off or damaged`,
    );
  }
  // In this order behind the files' data; the id table is always there. What there is not has all bits set.
  for (const [name, offset] of [
    ['inode', 64],
    ['directory', 72],
    ['id', 48],
  ] as const) {
    const at = block.readBigUInt64LE(offset);
    if (at < superblockSize || at >= bytesUsed)
      throw new ImageFormatError(
        `squashfs is damaged: its ${name} table is said to lie at ${at} of ${bytesUsed} bytes`,
      );
  }
  return {
    compression,
    blockSize,
    bytesUsed: Number(bytesUsed),
    inodes: block.readUInt32LE(4),
    madeAt: new Date(block.readUInt32LE(8) * 1000),
  };
}

/** Of a superblock that parseSuperblock accepts. */
export function squashfsTables(head: Uint8Array): SquashfsTables {
  const block = Buffer.from(head.buffer, head.byteOffset, superblockSize);
  return {
    inodes: wide(block, 64),
    directories: wide(block, 72),
    fragments: wide(block, 80),
    exported: block.readBigUInt64LE(88) === none ? undefined : wide(block, 88),
    ids: wide(block, 48),
    fragmentCount: block.readUInt32LE(16),
    root: { block: Math.floor(wide(block, 32) / 65536), offset: block.readUInt16LE(32) },
  };
}

/**
 * What every boot reads before it finds any file: the superblock, and all behind the files' data. `head`: the first 96 bytes or more.
 * @throws ImageFormatError as parseSuperblock.
 */
export function squashfsMetadata(head: Uint8Array, size: number): ByteRange[] {
  const { bytesUsed } = parseSuperblock(head, size);
  const { inodes } = squashfsTables(head);
  return [
    { offset: 0, length: superblockSize },
    { offset: inodes, length: bytesUsed - inodes },
  ];
}

/** What stands for a table that there is not. */
const none = 0xffff_ffff_ffff_ffffn;

function wide(block: Buffer, offset: number): number {
  return Number(block.readBigUInt64LE(offset));
}
