/**
 * What belongs to an image and is nobody's business: in `pending` of the private directory, where confluent looks for the key. Each image's key
 * and boot order lie under its digest for as long as the image does; `rootimg.key` is the newest image's.
 */
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { largestBootOrderSize } from '../image/boot-order.ts';
import { hexOf, type ImageDigest } from '../image/digest.ts';
import { keyFileSizeLimit, parseKeyFile } from '../image/key-file.ts';
import { largestTraceSize } from '../image/trace.ts';
import { readSmallFile, readSmallText } from './file-source.ts';
import { defaultPrivateDir } from './private-place.ts';

const pending = 'pending';

/** Paths below a private directory. */
export class PrivateFiles {
  readonly privateDir: string;
  /** In it, where they all lie. */
  readonly directory: string;

  constructor(privateDir: string) {
    this.privateDir = privateDir;
    this.directory = join(privateDir, pending);
  }

  /** Those of the images in a public directory. @throws the error of realpath(3) */
  static async besides(publicDir: string, { privateDir }: PrivatePlace): Promise<PrivateFiles> {
    if (privateDir !== undefined) return new PrivateFiles(privateDir);
    return new PrivateFiles(defaultPrivateDir(await realpath(publicDir)));
  }

  /** The newest image's. */
  get newestKey(): string {
    return join(this.directory, 'rootimg.key');
  }

  key(digest: ImageDigest): string {
    return join(this.directory, `rootimg-${hexOf(digest)}.key`);
  }

  bootOrder(digest: ImageDigest): string {
    return join(this.directory, `rootimg-${hexOf(digest)}.paths`);
  }

  /** What a member has learned of its boots from nodes (src/collective/boot-traces.ts). */
  trace(digest: ImageDigest): string {
    return join(this.directory, `rootimg-${hexOf(digest)}.trace`);
  }

  /** Everything that belongs to this image alone; the last is a directory. */
  of(digest: ImageDigest): string[] {
    const posted = join(this.directory, `traces-${hexOf(digest)}`);
    return [this.key(digest), this.bootOrder(digest), this.trace(digest), posted];
  }

  /** Keys that may be this image's, the likeliest first; of an image whose digest nobody knows, the newest. @throws KeyFileError, ImageSourceError when there is none that can be read */
  async keysFor(digest: ImageDigest | undefined): Promise<Uint8Array[]> {
    const keys: Uint8Array[] = [];
    const errors: unknown[] = [];
    for (const path of [...(digest === undefined ? [] : [this.key(digest)]), this.newestKey]) {
      try {
        const bytes = await readSmallFile(path, keyFileSizeLimit);
        if (bytes !== undefined) keys.push(parseKeyFile(bytes, path));
      } catch (error) {
        errors.push(error);
      }
    }
    if (keys.length === 0 && errors.length > 0) throw errors[0];
    return keys;
  }

  /** undefined: nobody knows it. @throws ImageSourceError */
  readBootOrder(digest: ImageDigest): Promise<string | undefined> {
    return readSmallText(this.bootOrder(digest), largestBootOrderSize);
  }

  /** undefined: no node has told. @throws ImageSourceError */
  readTrace(digest: ImageDigest): Promise<string | undefined> {
    return readSmallText(this.trace(digest), largestTraceSize);
  }
}

export interface PrivatePlace {
  /** Gets `pending` with key and boot order. By default TREE/private/os/NAME of a TREE/public/os/NAME, or `PUBLIC.private`. */
  privateDir?: string | undefined;
  /** Where confluent keeps its public and private trees: /var/lib/confluent. */
  tree?: string | undefined;
}
