/** crypt(3) by SHA-256 and SHA-512, by the system's libcrypt: 5000 rounds take some ms, on threads of their own. */
import { timingSafeEqual } from 'node:crypto';
import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import { errorCode, TetherfsError, UsageError } from '../base/errors.ts';
import { loadBinding } from '../native/binding.ts';
import { randomCryptText } from '../protocol/crypt-alphabet.ts';
import { cryptText } from '../protocol/grant.ts';

/** Bytes. */
const longestSecret = 511;
const saltBytes = 12;

export class CryptTexts {
  readonly #native = loadBinding();
  readonly #atOnce = pLimit(availableParallelism());

  /** Comparisons that wait. */
  get waiting(): number {
    return this.#atOnce.pendingCount;
  }

  /** Whether the text is of that key. SHA-256, without `rounds=`. */
  async isOf(text: string, key: string): Promise<boolean> {
    if (!cryptText.test(text) || !/^[\x21-\x7e]+$/.test(key) || key.length > longestSecret) return false;
    const found = await this.#atOnce(() => this.#crypt(key, text));
    return found.length === text.length && timingSafeEqual(Buffer.from(found), Buffer.from(text));
  }

  /** Of a password, by SHA-512, with a salt of its own. @throws UsageError when it is too long, or holds what no password may. */
  async make(password: string): Promise<string> {
    if (Buffer.byteLength(password) > longestSecret || password.includes('\0'))
      throw new UsageError(`a password has at most ${longestSecret} bytes, and no NUL among them`);
    return this.#crypt(password, `$6$${randomCryptText(saltBytes)}$`);
  }

  async #crypt(secret: string, setting: string): Promise<string> {
    try {
      return await this.#native.crypt(secret, setting);
    } catch (cause) {
      if (errorCode(cause) !== 'ENOSYS') throw cause;
      throw new TetherfsError(
        'TOOL',
        'the library libcrypt is missing: install it (Debian: apt-get install libcrypt1)',
        {
          cause,
        },
      );
    }
  }
}
