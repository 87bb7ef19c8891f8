/**
 * The partitions of a multi-partition capture: an installed machine's filesystems, each a squashfs with a description in
 * front, one after the other. Everything is read from the description's big-endian fields; the file may be hostile.
 */
import { ImageFormatError } from './errors.ts';
import { firstPartitionOffset } from './header.ts';
import type { ImageSource } from './image-source.ts';

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

/**
 * Judges the first description as far as it lies in `head`, the capture's first bytes. @param size of the whole.
 * @throws ImageFormatError as listPartitions.
 */
export function examineCapture(head: Uint8Array, size: number): void {
  if (size <= firstPartitionOffset) throw new ImageFormatError('capture holds no partition');
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  let position = firstPartitionOffset;
  const cut = () => new ImageFormatError(`partition description is cut off at ${size}`);
  /** Undefined beyond the head. */
  const integer = (width: 2 | 4 | 8): number | undefined => {
    if (position + width > size) throw cut();
    if (position + width > head.length) return undefined;
    const value =
      width === 2
        ? view.getUint16(position)
        : width === 4
          ? view.getUint32(position)
          : Number(view.getBigUint64(position));
    position += width;
    return value;
  };
  for (const width of [2, 4, 8, 8, 2, 2, 2] as const) {
    const length = integer(width);
    if (length === undefined) return;
    if (width === 8) continue;
    position += length;
    if (position > size) throw cut();
  }
  const bytes = integer(8);
  if (bytes === undefined) return;
  if (bytes === 0 || bytes > size - position)
    throw new ImageFormatError(`its first partition, of ${bytes} bytes at ${position}, is cut off`);
}

/** @throws ImageFormatError when a field is out of bounds or a partition is cut off. */
export async function listPartitions(payload: ImageSource): Promise<Partition[]> {
  const partitions: Partition[] = [];
  let offset = firstPartitionOffset;
  while (offset < payload.size) {
    if (partitions.length === partitionLimit) throw new ImageFormatError(`more than ${partitionLimit} partitions`);
    const partition = await readPartition(new Fields(payload, offset));
    partitions.push(partition);
    offset = Math.ceil((partition.offset + partition.size) / alignment) * alignment;
  }
  if (partitions.length === 0) throw new ImageFormatError('capture holds no partition');
  return partitions;
}

async function readPartition(fields: Fields): Promise<Partition> {
  const mountPoint = await fields.text(2, nameLimit);
  await fields.skip(4, jsonLimit);
  const minimumSize = await fields.integer(8);
  const initialSize = await fields.integer(8);
  const filesystem = await fields.text(2, nameLimit);
  const device = await fields.text(2, nameLimit);
  await fields.skip(2, alignment);
  const size = await fields.integer(8);
  if (size === 0 || fields.remaining < size) {
    throw new ImageFormatError(
      `partition ${JSON.stringify(mountPoint)} of ${size} bytes at ${fields.position} is cut off`,
    );
  }
  return { mountPoint, filesystem, device, minimumSize, initialSize, offset: fields.position, size };
}

/** Reads fields one after the other, never beyond the payload's end. */
class Fields {
  readonly #payload: ImageSource;
  position: number;

  constructor(payload: ImageSource, position: number) {
    this.#payload = payload;
    this.position = position;
  }

  get remaining(): number {
    return this.#payload.size - this.position;
  }

  /** A big-endian unsigned integer of `width` bytes. */
  async integer(width: 2 | 4 | 8): Promise<number> {
    const bytes = await this.#take(width);
    const value = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
    if (!Number.isSafeInteger(value))
      throw new ImageFormatError(`size at ${this.position - width} is beyond all measure`);
    return value;
  }

  async text(lengthWidth: 2 | 4, limit: number): Promise<string> {
    const text = new TextDecoder().decode(await this.#take(await this.#length(lengthWidth, limit)));
    // Such text would steer the terminal that it is shown on.
    if (/\p{Cc}/u.test(text))
      throw new ImageFormatError(`partition field before ${this.position} holds control characters`);
    return text;
  }

  async skip(lengthWidth: 2 | 4, limit: number): Promise<void> {
    const length = await this.#length(lengthWidth, limit);
    this.#check(length);
    this.position += length;
  }

  async #length(width: 2 | 4, limit: number): Promise<number> {
    const length = await this.integer(width);
    if (length > limit)
      throw new ImageFormatError(`partition field of ${length} bytes at ${this.position}; at most ${limit} make sense`);
    return length;
  }

  async #take(length: number): Promise<Uint8Array> {
    this.#check(length);
    const offset = this.position;
    this.position += length;
    return length === 0 ? new Uint8Array() : this.#payload.read({ offset, length });
  }

  #check(length: number): void {
    if (length > this.remaining)
      throw new ImageFormatError(`partition description is cut off at ${this.#payload.size}`);
  }
}
