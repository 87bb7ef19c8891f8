/** The key of a node: made by itself at each boot, as upstream's nodes make theirs. */
import { loadBinding } from '../native/binding.ts';
import { randomCryptText } from '../protocol/crypt-alphabet.ts';

export interface NodeKey {
  /** 32 characters of crypt(3)'s alphabet: 192 bits. */
  key: string;
  /** Its text by SHA-256, 55 characters, without `rounds=`: upstream's members take it apart at each `$`. */
  hash: string;
}

const keyBytes = 24;
const saltBytes = 6;

/** @throws Error ENOSYS where there is no libcrypt. */
export async function makeNodeKey(): Promise<NodeKey> {
  const key = randomCryptText(keyBytes);
  return { key, hash: await loadBinding().crypt(key, `$5$${randomCryptText(saltBytes)}$`) };
}
