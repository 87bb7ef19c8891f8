/**
 * Where the bytes of each file lie in a squashfs 4.0: for packing an image in the order of a boot, and for finding the same files in another
 * image. Format: linux/fs/squashfs/squashfs_fs.h.
 */
import type { ByteRange } from '../base/byte-range.ts';
import { ImageFormatError } from './errors.ts';
import { type ImageSource, readHead } from './image-source.ts';
import { parseSuperblock, type SquashfsTables, squashfsMetadata, squashfsTables, superblockSize } from './squashfs.ts';
import { type Decompress, firstBlockOf, MetadataTable, readIndexedTable } from './squashfs-tables.ts';

/** A regular file. */
export interface SquashfsFile {
  /** Absolute in the image; one character a byte (latin1), because a name is bytes. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Where its first block of data begins; the others follow. */
  readonly start: number;
  /** Bytes of each block as it lies there, compressed or not; 0: a hole. */
  readonly blocks: readonly number[];
  /** The number of the fragment (a block that several small files share) with the file's last bytes; undefined: none. */
  readonly fragment: number | undefined;
}

export interface SquashfsFiles {
  /** Bytes of a block of a file before compression. */
  readonly blockSize: number;
  /** In the order of the directories, by name. A file with several names comes several times. */
  readonly files: readonly SquashfsFile[];
  /** By their numbers. */
  readonly fragments: readonly ByteRange[];
  /** The superblock, and all behind the files' data: what every boot reads before anything else. */
  readonly metadata: readonly ByteRange[];
}

/** Deeper than Linux takes a path. */
const deepest = 2048;
const lengthMask = 0xff_ffff;
const noFragment = 0xffff_ffff;
const fragmentEntrySize = 16;

const kind = { directory: 1, file: 2, extendedDirectory: 8, extendedFile: 9 } as const;

/** @throws ImageFormatError when it is no squashfs 4.0 or is damaged; what `decompress` throws. */
export async function listSquashfsFiles(source: ImageSource, decompress: Decompress): Promise<SquashfsFiles> {
  const head = await readHead(source, superblockSize);
  const { blockSize } = parseSuperblock(head, source.size);
  const metadata = squashfsMetadata(head, source.size);
  const tables = squashfsTables(head);
  try {
    const inodes = await tableBetween(source, tables.inodes, tables.directories, decompress);
    const directories = await tableBetween(
      source,
      tables.directories,
      await directoriesEnd(source, tables),
      decompress,
    );
    const fragments = await readFragments(source, tables, decompress);
    const files = new TreeWalk(inodes, directories, { ...tables, blockSize }).files();
    return { blockSize, files, fragments, metadata };
  } catch (cause) {
    if (cause instanceof RangeError)
      throw new ImageFormatError('squashfs is damaged: its metadata are cut off', { cause });
    throw cause;
  }
}

function tableBetween(source: ImageSource, from: number, to: number, decompress: Decompress): Promise<MetadataTable> {
  if (to < from || to > source.size) {
    throw new ImageFormatError(`squashfs is damaged: a table is said to lie from ${from} to ${to}`);
  }
  return MetadataTable.read(source, { offset: from, length: to - from }, decompress);
}

/** The directories end where the next table's first block begins. */
async function directoriesEnd(source: ImageSource, tables: SquashfsTables): Promise<number> {
  const indexes = [tables.ids, ...(tables.fragmentCount > 0 ? [tables.fragments] : []), tables.exported ?? tables.ids];
  const firsts = await Promise.all(indexes.map((index) => firstBlockOf(source, index)));
  return Math.min(...firsts);
}

async function readFragments(
  source: ImageSource,
  tables: SquashfsTables,
  decompress: Decompress,
): Promise<ByteRange[]> {
  const table = { index: tables.fragments, count: tables.fragmentCount, entrySize: fragmentEntrySize };
  const entries = await readIndexedTable(source, table, decompress);
  return Array.from({ length: tables.fragmentCount }, (_, number) => {
    const at = number * fragmentEntrySize;
    return { offset: Number(entries.readBigUInt64LE(at)), length: entries.readUInt32LE(at + 8) & lengthMask };
  });
}

/** A directory's listing in the table of directories. */
interface Listing {
  readonly path: string;
  readonly block: number;
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

class TreeWalk {
  readonly #inodes: MetadataTable;
  readonly #directories: MetadataTable;
  readonly #place: SquashfsTables & { blockSize: number };
  /** Directories whose listings have been read: a damaged image may lead in circles. */
  readonly #seen = new Set<number>();

  constructor(inodes: MetadataTable, directories: MetadataTable, place: SquashfsTables & { blockSize: number }) {
    this.#inodes = inodes;
    this.#directories = directories;
    this.#place = place;
  }

  files(): SquashfsFile[] {
    const { block, offset } = this.#place.root;
    const root = this.#inode(block, offset, '');
    if (root === undefined || !('block' in root)) {
      throw new ImageFormatError('squashfs is damaged: its root is no directory');
    }
    const files: SquashfsFile[] = [];
    const waiting = [root];
    for (let listing = waiting.pop(); listing !== undefined; listing = waiting.pop()) {
      const found: Listing[] = [];
      for (const entry of this.#entries(listing)) {
        if ('block' in entry) found.push(entry);
        else files.push(entry);
      }
      for (const directory of found.reverse()) waiting.push(directory);
    }
    return files;
  }

  /** The regular files and directories in a directory. */
  *#entries({ path, block, offset, length }: Listing): Generator<SquashfsFile | Listing> {
    if (length === 0) return;
    const { bytes } = this.#directories;
    let at = this.#directories.position(block, offset);
    const end = at + length;
    if (this.#seen.has(at) || path.length > deepest * 2) {
      throw new ImageFormatError('squashfs is damaged: its directories lead in circles');
    }
    this.#seen.add(at);
    while (at < end) {
      const count = bytes.readUInt32LE(at) + 1;
      const inodeBlock = bytes.readUInt32LE(at + 4);
      at += 12;
      for (let entry = 0; entry < count; entry++) {
        const inodeOffset = bytes.readUInt16LE(at);
        const nameEnd = at + 8 + bytes.readUInt16LE(at + 6) + 1;
        if (nameEnd > end) throw new ImageFormatError('squashfs is damaged: a directory ends within a name');
        const name = bytes.toString('latin1', at + 8, nameEnd);
        const inode = this.#inode(inodeBlock, inodeOffset, `${path}/${name}`);
        if (inode !== undefined) yield inode;
        at = nameEnd;
      }
    }
  }

  /** undefined: neither a regular file nor a directory. */
  #inode(block: number, offset: number, path: string): SquashfsFile | Listing | undefined {
    const { bytes } = this.#inodes;
    const at = this.#inodes.position(block, offset);
    // type, mode, owner, group, time, number: 16 bytes
    const body = at + 16;
    switch (bytes.readUInt16LE(at)) {
      case kind.directory:
        return {
          path,
          block: bytes.readUInt32LE(body),
          length: listingLength(bytes.readUInt16LE(body + 8)),
          offset: bytes.readUInt16LE(body + 10),
        };
      case kind.extendedDirectory:
        return {
          path,
          length: listingLength(bytes.readUInt32LE(body + 4)),
          block: bytes.readUInt32LE(body + 8),
          offset: bytes.readUInt16LE(body + 18),
        };
      case kind.file:
        return this.#file(path, {
          start: bytes.readUInt32LE(body),
          fragment: bytes.readUInt32LE(body + 4),
          size: bytes.readUInt32LE(body + 12),
          blocksAt: body + 16,
        });
      case kind.extendedFile:
        return this.#file(path, {
          start: Number(bytes.readBigUInt64LE(body)),
          size: Number(bytes.readBigUInt64LE(body + 8)),
          fragment: bytes.readUInt32LE(body + 28),
          blocksAt: body + 40,
        });
    }
    return undefined;
  }

  #file(path: string, inode: { start: number; size: number; fragment: number; blocksAt: number }): SquashfsFile {
    const { blockSize, fragmentCount } = this.#place;
    const { bytes } = this.#inodes;
    const { start, size, blocksAt } = inode;
    const fragment = inode.fragment === noFragment ? undefined : inode.fragment;
    if (fragment !== undefined && fragment >= fragmentCount) {
      throw new ImageFormatError(`squashfs is damaged: ${JSON.stringify(path)} is in fragment ${fragment}`);
    }
    const count = fragment === undefined ? Math.ceil(size / blockSize) : Math.floor(size / blockSize);
    if (blocksAt + 4 * count > bytes.length) throw new RangeError('more blocks than the table holds');
    const blocks = Array.from({ length: count }, (_, index) => bytes.readUInt32LE(blocksAt + 4 * index) & lengthMask);
    return { path, size, start, blocks, fragment };
  }
}

/** A listing is said to be 3 bytes longer than it is, for . and .. */
function listingLength(said: number): number {
  return Math.max(0, said - 3);
}
