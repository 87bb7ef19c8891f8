/**
 * Gets the metadata of the squashfs at once, as soon as there is a mount to be: every boot reads them, in pieces of 8 KiB all over, before it finds any
 * file. Where it cannot be seen where they are (an encrypted image, decrypted above us), a published trace begins with them.
 */
import { type ChunkLoader, cut } from '../cache/index.ts';
import type { OpenedImage } from './open-image.ts';

/** Bytes of one request. */
const requestBytes = 512 * 1024;

/** @param most chunks at most: metadata that take more of the cache are left to their readers. */
export function getMetadata(
  { geometry, metadata }: Pick<OpenedImage, 'geometry' | 'metadata'>,
  loader: Pick<ChunkLoader, 'prefetch'>,
  most: number,
): void {
  const spans = metadata.map((range) => geometry.chunksIn(range));
  if (spans.reduce((sum, { count }) => sum + count, 0) > most) return;
  const pieces = spans.flatMap((span) => cut(span, Math.max(1, requestBytes / geometry.chunkSize)));
  for (const piece of pieces) void loader.prefetch(piece);
}
