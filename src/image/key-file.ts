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

/** The key: 32 bytes (AES-128-XTS) or 64 (AES-256-XTS). @param file its path, for who must mend it. @throws KeyFileError */
export function parseKeyFile(bytes: Uint8Array, file: string): Uint8Array {
  const refuse = (what: string): never => {
    throw new KeyFileError(`${file}: ${what}`);
  };
  if (bytes.length > keyFileSizeLimit) refuse(`this is no key file: it has ${bytes.length} bytes`);
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1').split('\n');
  const [name, digits, ...rest] = lines.map((line) => line.trim());
  if (name !== cipher) refuse(`the first line of a key file is ${cipher}; the one of this is not`);
  if (digits === undefined || digits === '') return refuse('the second line, the key, is missing');
  if (rest.some((line) => line !== '')) refuse('it has more than the two lines of a key file');
  if (!/^[0-9a-fA-F]+$/.test(digits)) refuse('the second line, the key, is not hexadecimal digits');
  if (digits.length !== 64 && digits.length !== 128)
    refuse(`the key has ${digits.length} digits; 64 or 128 are wanted`);
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}

/** The bytes of the key file for `key`. */
export function formatKeyFile(key: Uint8Array): Uint8Array {
  return Buffer.from(`${cipher}\n${Buffer.from(key).toString('hex')}\n`, 'latin1');
}
