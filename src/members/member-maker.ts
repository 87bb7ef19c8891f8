/** Makes members of one image, who all trust the same authorities. */
import type { SecureContext } from 'node:tls';
import type { TimeSource } from '../base/time-source.ts';
import { Member } from './member.ts';
import type { MemberUrl } from './member-url.ts';
import { createTrust } from './trust.ts';

export interface MemberMakerOptions {
  /** Of the image, 64 hexadecimal digits. */
  digest: string | undefined;
  /** PEM certificates of the CAs to believe instead of the system's. */
  ca: readonly string[] | undefined;
  time: TimeSource;
}

export class MemberMaker {
  readonly #options: MemberMakerOptions;
  /** Made when the first member needs it. */
  #trust: SecureContext | undefined;

  constructor(options: MemberMakerOptions) {
    this.#options = options;
  }

  /** @param ca believed where nothing else was said. @throws UsageError for a CA that is none. */
  make(url: MemberUrl, ca?: readonly string[]): Member {
    const { digest, time } = this.#options;
    if (url.secure) this.#trust ??= createTrust(this.#options.ca ?? ca);
    return new Member(url, time, this.#trust, digest);
  }
}
