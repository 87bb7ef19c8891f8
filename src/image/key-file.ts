/**
 * The key file of an encrypted image: two lines, the cipher as dm-crypt names it and the key in hexadecimal digits. It
 * never lies on the public tree. No error here holds anything of a file's content: what looks wrong may be the key.
 */
import { KeyFileError } from './errors.ts';

export const cipher = 'aes-xts-plain64';

/** Bytes of the keys tetherfs makes, as confluent does: AES-128-XTS takes two AES-128 keys. */
export const keySize = 32;

/** Far more than two lines take; what is larger is no key file and is not looked at. */
export const keyFileSizeLimit = 4096;

/** The key: 32 bytes (AES-128-XTS) or 64 (AES-256-XTS). @throws KeyFileError */
export function parseKeyFile(bytes: Uint8Array): Uint8Array {
  if (bytes.length > keyFileSizeLimit) throw new KeyFileError(`key file is no key file: it has ${bytes.length} bytes`);
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1').split('\n');
  const [name, digits, ...rest] = lines.map((line) => line.trim());
  if (name !== cipher) throw new KeyFileError(`the first line of the key file is not ${cipher}`);
  if (digits === undefined || digits === '')
    throw new KeyFileError('the key file has no second line: the key is missing');
  if (rest.some((line) => line !== '')) throw new KeyFileError('the key file has more than two lines');
  if (!/^[0-9a-fA-F]+$/.test(digits))
    throw new KeyFileError('the second line of the key file is not hexadecimal digits');
  if (digits.length !== 64 && digits.length !== 128) {
    throw new KeyFileError(`the key in the key file has ${digits.length} digits; 64 or 128 are wanted`);
  }
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}

/** The bytes of the key file for `key`. */
export function formatKeyFile(key: Uint8Array): Uint8Array {
  return Buffer.from(`${cipher}\n${Buffer.from(key).toString('hex')}\n`, 'latin1');
}
