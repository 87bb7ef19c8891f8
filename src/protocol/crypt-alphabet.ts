/** Random text of crypt(3)'s alphabet (A–Z a–z 0–9 . /): keys, tokens and salts are made of it. */
import { randomBytes } from 'node:crypto';

/** @param bytes a multiple of three: three of them are four characters. */
export function randomCryptText(bytes: number): string {
  return randomBytes(bytes).toString('base64').replaceAll('+', '.');
}
