/** An image on one web server, read by range requests for examining it; and small files there. */
import { readFile } from 'node:fs/promises';
import type { ByteRange } from '../base/byte-range.ts';
import { describeError, UsageError } from '../base/errors.ts';
import type { FileUrl } from '../base/file-url.ts';
import { systemTime } from '../base/time-source.ts';
import { headerSize } from '../image/header.ts';
import { FetchFailedError, ServedFile } from '../members/index.ts';
import { ImageSourceError } from './errors.ts';
import type { ClosableSource } from './file-source.ts';

export interface HttpOptions {
  /** PEM file of the authorities that sign the servers' certificates, instead of the system's. */
  caFile?: string | undefined;
}

/** @throws ImageSourceError when the server does not serve ranges of the file. */
export async function openHttpSource(url: FileUrl, options: HttpOptions = {}): Promise<ClosableSource> {
  const file = await served(url, options);
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
  options: HttpOptions = {},
): Promise<Uint8Array | undefined> {
  await using file = await served(url, options);
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

async function served(url: FileUrl, { caFile }: HttpOptions): Promise<ServedFile> {
  if (caFile === undefined) return new ServedFile(url, { time: systemTime });
  const ca = await readFile(caFile, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`--ca-file ${caFile}: ${describeError(cause)}`, { cause });
  });
  return new ServedFile(url, { ca: [ca], time: systemTime });
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
