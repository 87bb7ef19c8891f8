/**
 * What kind of image a file is, told from its first 4096 bytes: an encrypted image (a header block, then ciphertext), a
 * multi-partition capture, or a plain squashfs. The formats are confluent's; docs/image-format.md has the byte tables.
 */
import { ImageFormatError } from './errors.ts';

/** Bytes that tell everything about a header, and the bytes that an encrypted image's header takes. */
export const headerSize = 4096;

/** The unit of encryption: an encrypted payload is a whole number of sectors. */
export const sectorSize = 512;

export type ImageFormat = 'encrypted' | 'partitions' | 'squashfs' | 'unknown';

export interface ImageLayout {
  readonly format: ImageFormat;
  /** What confluent's formats call themselves. */
  readonly label?: string;
  /** Bytes in front of the payload, hidden from readers once the image is decrypted. */
  readonly hiddenBytes: number;
}

interface LabelledMagic {
  readonly magic: Buffer;
  readonly label: string;
}

const encryptedMagic: LabelledMagic = {
  magic: Buffer.from('aad50f7e5dfb4b7ca12af40b6d94f7fc', 'hex'),
  label: 'CONFLUENT_CRYPTIMAGE',
};
const partitionsMagic: LabelledMagic = {
  magic: Buffer.from('637b9d26b7fd483089f911cf18fdffa1', 'hex'),
  label: 'CONFLUENT_IMAGE',
};
const squashfsMagic = Buffer.from('hsqs', 'latin1');

/** Where the first partition of a multi-partition capture begins: after the magic and the length-prefixed label. */
export const firstPartitionOffset = partitionsMagic.magic.length + 1 + partitionsMagic.label.length;

/**
 * `head`: the image's first 4096 bytes, or all of a smaller image.
 * @throws ImageFormatError when it begins as a confluent image does but goes on otherwise.
 */
export function imageLayout(head: Uint8Array): ImageLayout {
  if (startsWith(head, encryptedMagic.magic)) {
    checkLabel(head, encryptedMagic);
    if (head.length < headerSize)
      throw new ImageFormatError(`encrypted image ends in its header, at byte ${head.length}`);
    if (head[encryptedLabelEnd] !== 0) {
      throw new ImageFormatError(
        `encrypted image is of kind ${head[encryptedLabelEnd]}; only kind 0 (dm-crypt) is known`,
      );
    }
    return { format: 'encrypted', label: encryptedMagic.label, hiddenBytes: headerSize };
  }
  if (startsWith(head, partitionsMagic.magic)) {
    checkLabel(head, partitionsMagic);
    return { format: 'partitions', label: partitionsMagic.label, hiddenBytes: 0 };
  }
  return { format: startsWith(head, squashfsMagic) ? 'squashfs' : 'unknown', hiddenBytes: 0 };
}

const encryptedLabelEnd = encryptedMagic.magic.length + 1 + encryptedMagic.label.length;

/** The 4096 bytes in front of an encrypted payload. */
export function makeEncryptedHeader(): Uint8Array {
  const header = Buffer.alloc(headerSize);
  encryptedMagic.magic.copy(header);
  header[encryptedMagic.magic.length] = encryptedMagic.label.length;
  header.write(encryptedMagic.label, encryptedMagic.magic.length + 1, 'latin1');
  return header;
}

/** The bytes in front of the first partition of a capture. */
export function makePartitionsHeader(): Uint8Array {
  const { magic, label } = partitionsMagic;
  return Buffer.concat([magic, Buffer.of(label.length), Buffer.from(label, 'latin1')]);
}

/** Bytes of the payload of an encrypted image of `imageSize` bytes. @throws ImageFormatError when it is not whole sectors. */
export function encryptedPayloadSize(imageSize: number): number {
  const size = imageSize - headerSize;
  if (size <= 0) throw new ImageFormatError('encrypted image has no payload');
  if (size % sectorSize !== 0) {
    throw new ImageFormatError(
      `encrypted image is cut off: its payload of ${size} bytes is not whole ${sectorSize}-byte sectors`,
    );
  }
  return size;
}

function checkLabel(head: Uint8Array, { magic, label }: LabelledMagic): void {
  const expected = Buffer.concat([Buffer.of(label.length), Buffer.from(label, 'latin1')]);
  const found = head.subarray(magic.length, magic.length + expected.length);
  if (!expected.equals(found)) throw new ImageFormatError(`header begins as ${label} does, but its label is another`);
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, prefix.length), prefix) === 0;
}
