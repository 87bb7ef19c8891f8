/**
 * The superblock of a squashfs 4.0 (linux/fs/squashfs/squashfs_fs.h), for showing what an image holds and for telling
 * whether a key fits. The filesystem itself is the kernel's business.
 */
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
  return {
    compression,
    blockSize,
    bytesUsed: Number(bytesUsed),
    inodes: block.readUInt32LE(4),
    madeAt: new Date(block.readUInt32LE(8) * 1000),
  };
}
