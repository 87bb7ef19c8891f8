/**
 * crypt(3) by SHA-256 and SHA-512, by `openssl passwd`: the packages that there are in JavaScript get keys of 32 characters wrong, which is what nodes have. 5000 rounds take some ms, in a process of
 * their own.
 */
import { timingSafeEqual } from 'node:crypto';
import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import { cryptText } from '../protocol/grant.ts';
import type { RunTool } from './tools.ts';

const openssl = { package: 'openssl' };

export class CryptTexts {
  readonly #run: RunTool;
  readonly #atOnce = pLimit(availableParallelism());

  constructor(run: RunTool) {
    this.#run = run;
  }

  /** Comparisons that wait. */
  get waiting(): number {
    return this.#atOnce.pendingCount;
  }

  /** Whether the text is of that key. SHA-256, without `rounds=`. */
  async isOf(text: string, key: string): Promise<boolean> {
    const [, , salt = ''] = text.split('$');
    if (!cryptText.test(text) || !/^[\x21-\x7e]+$/.test(key)) return false;
    const found = await this.#atOnce(() => this.#passwd(['-5', '-salt', salt], key));
    return found.length === text.length && timingSafeEqual(Buffer.from(found), Buffer.from(text));
  }

  /** Of a password, by SHA-512, with a salt of its own. */
  async make(password: string): Promise<string> {
    return this.#passwd(['-6'], password);
  }

  async #passwd(words: readonly string[], secret: string): Promise<string> {
    return (await this.#run('openssl', ['passwd', ...words, '-stdin'], { ...openssl, input: `${secret}\n` })).trim();
  }
}
