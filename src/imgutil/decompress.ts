/** Decompresses blocks of a squashfs: zlib and Zstandard by Node's own library, xz by Debian's tool. */
import { spawn } from 'node:child_process';
import { buffer, text } from 'node:stream/consumers';
import { inflateSync, zstdDecompressSync } from 'node:zlib';
import { describeError, errorCode } from '../base/errors.ts';
import { ImageFormatError } from '../image/errors.ts';
import type { SquashfsCompression } from '../image/squashfs.ts';
import type { Decompress } from '../image/squashfs-tables.ts';
import { ImageSourceError } from './errors.ts';

/** undefined: we have nothing that decompresses it. */
export function decompressorFor(compression: SquashfsCompression): Decompress | undefined {
  switch (compression) {
    case 'gzip':
      return each((block, maxOutputLength) => inflateSync(block, { maxOutputLength }));
    case 'zstd':
      return each((block, maxOutputLength) => zstdDecompressSync(block, { maxOutputLength }));
    case 'xz':
      return xz;
    default:
      return undefined;
  }
}

function each(decompress: (block: Uint8Array, largest: number) => Uint8Array): Decompress {
  return async (blocks, largest) => {
    try {
      return blocks.map((block) => decompress(block, largest));
    } catch (cause) {
      throw damaged(cause);
    }
  };
}

/**
 * Each block is an .xz stream of its own, and streams one after the other are an .xz file: one process for all. All but the last block have their
 * full length.
 */
const xz: Decompress = async (blocks, largest) => {
  if (blocks.length === 0) return [];
  const child = spawn('xz', ['--decompress', '--stdout', '--memlimit=256MiB'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let failure: unknown;
  child.on('error', (error) => {
    failure = error;
  });
  const closed = new Promise<number | null>((settle) => child.on('close', settle));
  // It may end before it has read all.
  child.stdin.on('error', () => {});
  child.stdin.end(Buffer.concat(blocks));
  const [clear, messages, status] = await Promise.all([buffer(child.stdout), text(child.stderr), closed]);
  if (errorCode(failure) === 'ENOENT') throw new ImageSourceError('xz is not installed (Debian package xz-utils)');
  if (failure !== undefined) throw new ImageSourceError(`cannot run xz: ${describeError(failure)}`, { cause: failure });
  if (status !== 0) throw damaged(new Error(messages.trim()));
  if (Math.ceil(clear.length / largest) !== blocks.length) throw damaged(new Error('blocks of another length'));
  return blocks.map((_, index) => clear.subarray(index * largest, (index + 1) * largest));
};

function damaged(cause: unknown): ImageFormatError {
  return new ImageFormatError(`squashfs is damaged: its metadata cannot be decompressed: ${describeError(cause)}`, {
    cause,
  });
}
