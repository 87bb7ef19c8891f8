/** An image on one web server, read by range requests for examining it; and small files there. */
import type { ByteRange } from '../base/byte-range.ts';
import type { FileUrl } from '../base/file-url.ts';
import { systemTime } from '../base/time-source.ts';
import { headerSize } from '../image/header.ts';
import { type AuthorityOptions, FetchFailedError, givenAuthorities, ServedFile } from '../members/index.ts';
import { ImageSourceError } from './errors.ts';
import type { ClosableSource } from './file-source.ts';

/** @throws ImageSourceError when the server does not serve ranges of the file. */
export async function openHttpSource(url: FileUrl, authorities: AuthorityOptions = {}): Promise<ClosableSource> {
  const file = served(url, authorities);
  try {
    const { size } = await read(() => file.read({ offset: 0, length: headerSize }));
    return new HttpSource(file, size);
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
}

/** All of a small file; undefined when there is none. @throws ImageSourceError when it has more than `maxBytes`. */
export async function fetchSmallFile(
  url: FileUrl,
  maxBytes: number,
  authorities: AuthorityOptions = {},
): Promise<Uint8Array | undefined> {
  await using file = served(url, authorities);
  return await read(() => file.whole({ maxBytes })).catch((error: unknown) => {
    if (error instanceof ImageSourceError && error.missing) return undefined;
    throw error;
  });
}

class HttpSource implements ClosableSource {
  readonly size: number;
  readonly #file: ServedFile;

  constructor(file: ServedFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  async read(range: ByteRange): Promise<Uint8Array> {
    const { bytes } = await read(() => this.#file.read(range, this.size));
    return bytes;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#file[Symbol.asyncDispose]();
  }
}

function served(url: FileUrl, authorities: AuthorityOptions): ServedFile {
  return new ServedFile(url, { ca: givenAuthorities(authorities), time: systemTime });
}

async function read<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof FetchFailedError)
      throw new ImageSourceError(error.message, { cause: error, missing: error.missing });
    throw error;
  }
}
