/**
 * The payload of an image in clear, for tools that read files: each byte is checked and decrypted on the way into a file that has no name, so that nothing is left of it however we end.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { type ByteRange, rangeEnd } from '../base/byte-range.ts';
import type { Xts } from '../image/encryption.ts';
import { encryptedPayloadSize, headerSize, sectorSize } from '../image/header.ts';
import type { ImageSource } from '../image/image-source.ts';
import { temporaryId } from './leftovers.ts';

export interface ClearOptions {
  /** Of an encrypted image; undefined: it is in clear. */
  key: Uint8Array | undefined;
  xts: Xts;
  /** Told every range of the image before it counts; throws when the bytes are not the image's. */
  check: (range: ByteRange, bytes: Uint8Array) => void;
  /** Gets the file, for a moment; a file system with room for all of it. */
  directory: string;
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** A multiple of every block that is checked and of every sector; bytes. */
const pieceSize = 1 << 20;
/** Members answer in parallel; and one piece is checked while another is read. */
const piecesAtOnce = 8;

/** @throws what reading and `check` throw; Error of a system call; AbortError */
export async function clearCopy(image: ImageSource, options: ClearOptions): Promise<FileHandle> {
  const { key, xts, check, directory, onProgress, signal } = options;
  const hidden = key === undefined ? 0 : headerSize;
  if (key !== undefined) encryptedPayloadSize(image.size);
  const file = await withoutName(directory);
  let done = 0;
  const buffers = Array.from({ length: piecesAtOnce }, () => new Uint8Array(pieceSize));
  const copy = async (range: ByteRange) => {
    signal?.throwIfAborted();
    const buffer = buffers.pop();
    const bytes = await image.read(range, buffer);
    check(range, bytes);
    const payload = bytes.subarray(Math.max(0, hidden - range.offset));
    const offset = rangeEnd(range) - payload.length - hidden;
    if (key !== undefined) xts(payload, key, offset / sectorSize, 'decrypt');
    await writeAll(file, payload, offset);
    if (buffer !== undefined) buffers.push(buffer);
    done += range.length;
    onProgress?.(done, image.size);
  };
  try {
    const limit = pLimit(piecesAtOnce);
    try {
      await limit.map(rangesOf(image.size), copy);
    } finally {
      limit.clearQueue();
    }
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Checks every byte of an image that needs no copy. @throws as clearCopy */
export async function checkAll(
  image: ImageSource,
  options: Pick<ClearOptions, 'check' | 'onProgress' | 'signal'>,
): Promise<void> {
  const buffer = new Uint8Array(pieceSize);
  for (const range of rangesOf(image.size)) {
    options.signal?.throwIfAborted();
    options.check(range, await image.read(range, buffer));
    options.onProgress?.(rangeEnd(range), image.size);
  }
}

function* rangesOf(size: number): Generator<ByteRange> {
  for (let offset = 0; offset < size; offset += pieceSize) yield { offset, length: Math.min(pieceSize, size - offset) };
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
  }
}

async function withoutName(directory: string): Promise<FileHandle> {
  const path = join(directory, `.clear-${temporaryId()}`);
  const file = await open(path, 'wx+', 0o600);
  await rm(path);
  return file;
}
