/**
 * The encryption of an image at rest: dm-crypt's aes-xts-plain64 over the payload behind the 4096-byte header, 512-byte
 * sectors numbered from 0 there. XTS hides the bytes; only the digest tells whether they were changed.
 */
import type { Binding } from '../native/binding.ts';
import { encryptedPayloadSize, headerSize, makeEncryptedHeader, sectorSize } from './header.ts';
import { type ImageSource, pieces } from './image-source.ts';

/** AES-XTS in place; passed in, so that this room loads no addon. */
export type Xts = Binding['xts'];

/** The encrypted image of `payload`, in order: the header, then the ciphertext, zero-padded to whole sectors before it is encrypted. */
export async function* encryptImage(payload: ImageSource, key: Uint8Array, xts: Xts): AsyncGenerator<Uint8Array> {
  yield makeEncryptedHeader();
  let sector = 0;
  for await (const piece of pieces(payload)) {
    const sectors = Math.ceil(piece.length / sectorSize);
    const whole = piece.length === sectors * sectorSize ? piece : padded(piece, sectors * sectorSize);
    xts(whole, key, sector, 'encrypt');
    sector += sectors;
    yield whole;
  }
}

/** Bytes that `encryptImage` gives for a payload of `payloadSize` bytes. */
export function encryptedImageSize(payloadSize: number): number {
  return headerSize + Math.ceil(payloadSize / sectorSize) * sectorSize;
}

/** The payload of an encrypted image, decrypted as it is read. @throws ImageFormatError when the image is cut off. */
export function decryptedSource(image: ImageSource, key: Uint8Array, xts: Xts): ImageSource {
  const size = encryptedPayloadSize(image.size);
  return {
    size,
    async read({ offset, length }, into) {
      const firstSector = Math.floor(offset / sectorSize);
      const end = Math.ceil((offset + length) / sectorSize) * sectorSize;
      const start = firstSector * sectorSize;
      const room = into !== undefined && into.length >= end - start ? into : undefined;
      const sectors = await image.read({ offset: headerSize + start, length: end - start }, room);
      xts(sectors, key, firstSector, 'decrypt');
      return sectors.subarray(offset - start, offset - start + length);
    },
  };
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes);
  return result;
}
