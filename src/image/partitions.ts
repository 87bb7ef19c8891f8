/**
 * The partitions of a multi-partition capture: an installed machine's filesystems, each a squashfs with a description in
 * front, one after the other. Everything is read from the description's big-endian fields; the file may be hostile. docs/image-format.md has the table.
 */
import { ImageFormatError } from './errors.ts';
import { firstPartitionOffset, makePartitionsHeader } from './header.ts';
import { bytesSource, type ImageSource, joinedSource } from './image-source.ts';

export interface Partition {
  readonly mountPoint: string;
  readonly filesystem: string;
  /** The device it was captured from. */
  readonly device: string;
  /** Bytes that a new filesystem needs at least, and bytes that the captured one had. */
  readonly minimumSize: number;
  readonly initialSize: number;
  /** Where its squashfs lies in the payload, in bytes. */
  readonly offset: number;
  readonly size: number;
}

/** Each squashfs begins, and its padding ends, on such a border. */
const alignment = 4096;
/** Each description is followed by a whole squashfs, so a real capture has a handful. */
const partitionLimit = 128;
/** Caps for fields whose length the file tells; paths and a JSON object of six members fit many times. */
const nameLimit = 4096;
const jsonLimit = 65536;

/** No description is longer, in bytes. */
const descriptionLimit = 3 * (2 + nameLimit) + (4 + jsonLimit) + (2 + alignment) + 3 * 8;

/**
 * Judges the first description as far as it lies in `head`, the capture's first bytes. @param size of the whole.
 * @throws ImageFormatError as listPartitions.
 */
export function examineCapture(head: Uint8Array, size: number): void {
  if (size <= firstPartitionOffset) throw new ImageFormatError(noPartition);
  try {
    readPartition(new Fields(head.subarray(firstPartitionOffset), firstPartitionOffset, size));
  } catch (error) {
    if (!(error instanceof BeyondBytes)) throw error;
  }
}

/** @throws ImageFormatError when a field is out of bounds or a partition is cut off. */
export async function listPartitions(payload: ImageSource): Promise<Partition[]> {
  const partitions: Partition[] = [];
  let offset = firstPartitionOffset;
  while (offset < payload.size) {
    if (partitions.length === partitionLimit) throw new ImageFormatError(`more than ${partitionLimit} partitions`);
    const bytes = await payload.read({ offset, length: Math.min(descriptionLimit, payload.size - offset) });
    const partition = readPartition(new Fields(bytes, offset, payload.size));
    partitions.push(partition);
    offset = Math.ceil((partition.offset + partition.size) / alignment) * alignment;
  }
  if (partitions.length === 0) throw new ImageFormatError(noPartition);
  return partitions;
}

export interface CapturedPartition extends Omit<Partition, 'offset' | 'size'> {
  /** What else is known, for whoever installs it on a disk. */
  readonly json: string;
  readonly squashfs: ImageSource;
}

/** The capture of these. @throws ImageFormatError when a name is too long, or holds what would steer a terminal: no reader would take it. */
export function joinPartitions(partitions: readonly CapturedPartition[]): ImageSource {
  if (partitions.length > partitionLimit) throw new ImageFormatError(`more than ${partitionLimit} partitions`);
  const parts = [bytesSource(makePartitionsHeader())];
  let offset = firstPartitionOffset;
  const add = (part: ImageSource) => {
    parts.push(part);
    offset += part.size;
  };
  for (const partition of partitions) {
    const { squashfs } = partition;
    const front = describePartition(partition);
    // Never none: confluent's readers know it so.
    const padding = alignment - ((offset + front.length + 2 + 8) % alignment);
    add(bytesSource(Buffer.concat([front, integer(2, padding), Buffer.alloc(padding), integer(8, squashfs.size)])));
    add(squashfs);
    add(bytesSource(Buffer.alloc((alignment - (offset % alignment)) % alignment)));
  }
  return joinedSource(parts);
}

function describePartition(partition: CapturedPartition): Buffer {
  const { mountPoint, json, minimumSize, initialSize, filesystem, device } = partition;
  return Buffer.concat([
    text(2, mountPoint, nameLimit),
    text(4, json, jsonLimit),
    integer(8, minimumSize),
    integer(8, initialSize),
    text(2, filesystem, nameLimit),
    text(2, device, nameLimit),
  ]);
}

function integer(width: 2 | 4 | 8, value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes.subarray(8 - width);
}

function text(lengthWidth: 2 | 4, value: string, limit: number): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length > limit || /\p{Cc}/u.test(value))
    throw new ImageFormatError(`no capture can have a partition of ${JSON.stringify(value)}`);
  return Buffer.concat([integer(lengthWidth, bytes.length), bytes]);
}

const noPartition = 'capture holds no partition';

function readPartition(fields: Fields): Partition {
  const mountPoint = fields.text(2, nameLimit);
  fields.skip(4, jsonLimit);
  const minimumSize = fields.integer(8);
  const initialSize = fields.integer(8);
  const filesystem = fields.text(2, nameLimit);
  const device = fields.text(2, nameLimit);
  fields.skip(2, alignment);
  const size = fields.integer(8);
  if (size === 0 || fields.remaining < size) {
    throw new ImageFormatError(
      `partition ${JSON.stringify(mountPoint)} of ${size} bytes at ${fields.position} is cut off`,
    );
  }
  return { mountPoint, filesystem, device, minimumSize, initialSize, offset: fields.position, size };
}

/** A field is there, but not among the bytes that are. */
class BeyondBytes extends Error {}

/** Reads fields one after the other, never beyond the payload's end. */
class Fields {
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #size: number;
  position: number;

  /** @param bytes of the payload from `start` on; it has `size` in all. */
  constructor(bytes: Uint8Array, start: number, size: number) {
    this.#bytes = bytes;
    this.#start = start;
    this.#size = size;
    this.position = start;
  }

  get remaining(): number {
    return this.#size - this.position;
  }

  /** A big-endian unsigned integer of `width` bytes. */
  integer(width: 2 | 4 | 8): number {
    const bytes = this.#take(width);
    const value = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
    if (!Number.isSafeInteger(value))
      throw new ImageFormatError(`size at ${this.position - width} is beyond all measure`);
    return value;
  }

  text(lengthWidth: 2 | 4, limit: number): string {
    const text = new TextDecoder().decode(this.#take(this.#length(lengthWidth, limit)));
    // Such text would steer the terminal that it is shown on.
    if (/\p{Cc}/u.test(text))
      throw new ImageFormatError(`partition field before ${this.position} holds control characters`);
    return text;
  }

  skip(lengthWidth: 2 | 4, limit: number): void {
    const length = this.#length(lengthWidth, limit);
    this.#check(length);
    this.position += length;
  }

  #length(width: 2 | 4, limit: number): number {
    const length = this.integer(width);
    if (length > limit)
      throw new ImageFormatError(`partition field of ${length} bytes at ${this.position}; at most ${limit} make sense`);
    return length;
  }

  #take(length: number): Uint8Array {
    this.#check(length);
    const from = this.position - this.#start;
    if (from + length > this.#bytes.length) throw new BeyondBytes();
    this.position += length;
    return this.#bytes.subarray(from, from + length);
  }

  #check(length: number): void {
    if (length > this.remaining) throw new ImageFormatError(`partition description is cut off at ${this.#size}`);
  }
}
