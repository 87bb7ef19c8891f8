/** An image in a local file or on a block device. */
import { access, type FileHandle, open } from 'node:fs/promises';
import { readBounded } from '../base/bounded-file.ts';
import type { ByteRange } from '../base/byte-range.ts';
import { describeError, errorCode } from '../base/errors.ts';
import type { ImageSource } from '../image/image-source.ts';
import { ImageSourceError } from './errors.ts';

export interface ClosableSource extends ImageSource, AsyncDisposable {}

/** @throws ImageSourceError when the file cannot be opened. */
export async function openFileSource(path: string): Promise<ClosableSource> {
  const file = await open(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    const status = await file.stat();
    if (status.isDirectory())
      throw new ImageSourceError(`${path} is a directory: give the image in it, such as rootimg.sfs`);
    if (!status.isFile()) throw new ImageSourceError(`${path} is not a regular file`);
    return new FileSource(path, file, status.size);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Of an open file, which stays somebody else's to close. @param name for messages. */
export async function sourceOf(name: string, file: FileHandle): Promise<ImageSource> {
  return new FileSource(name, file, (await file.stat()).size);
}

/** All of a small file; undefined when it does not exist. @throws ImageSourceError when it has more than `limit` bytes. */
export async function readSmallFile(path: string, limit: number): Promise<Uint8Array | undefined> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = readBounded(path, limit);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw unreadable(path, error);
  }
  if (bytes === undefined) throw new ImageSourceError(`${path} has more than the ${limit} bytes that it may have`);
  return bytes;
}

/** The same as text, one character a byte (latin1): names of files are bytes, and need be no UTF-8. */
export async function readSmallText(path: string, limit: number): Promise<string | undefined> {
  const bytes = await readSmallFile(path, limit);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('latin1');
}

export function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

class FileSource implements ClosableSource {
  readonly size: number;
  readonly #path: string;
  readonly #file: FileHandle;

  constructor(path: string, file: FileHandle, size: number) {
    this.#path = path;
    this.#file = file;
    this.size = size;
  }

  async read({ offset, length }: ByteRange, into = new Uint8Array(length)): Promise<Uint8Array> {
    const bytes = into.subarray(0, length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await this.#file.read(bytes, done, length - done, offset + done).catch((error: unknown) => {
        throw unreadable(this.#path, error);
      });
      if (bytesRead === 0) throw new ImageSourceError(`${this.#path} ends at ${offset + done}: it became shorter`);
      done += bytesRead;
    }
    return bytes;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#file.close();
  }
}

function unreadable(path: string, cause: unknown): ImageSourceError {
  return new ImageSourceError(`cannot read ${path}: ${describeError(cause)}`, { cause });
}
