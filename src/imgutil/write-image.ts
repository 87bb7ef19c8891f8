/** Writes an image from its clear payload, under the name of its digest: encrypted, hashed and written in one pass. */
import { randomBytes } from 'node:crypto';
import { chmod, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageDigest } from '../image/digest.ts';
import { encryptedImageSize, encryptImage, type Xts } from '../image/encryption.ts';
import { type ImageSource, pieces } from '../image/image-source.ts';
import { keySize } from '../image/key-file.ts';
import { sidecarSuffix } from '../image/sidecar.ts';
import { VerityBuilder } from '../image/verity-builder.ts';
import { openFileSource } from './file-source.ts';
import { computeDigest } from './image-info.ts';
import { stageKeys } from './image-keys.ts';
import type { PrivateFiles } from './private-files.ts';
import { imageName, publishedPath } from './published-names.ts';
import type { StagedFiles } from './staged-files.ts';

export interface WriteOptions {
  /** Public. */
  outDir: string;
  /** Bytes of an fs-verity block. */
  verityBlockSize: number;
  /** What encrypts; undefined for an image in clear. */
  xts: Xts | undefined;
  /** Bytes of the image written, of all that will be. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface WrittenImage {
  /** Named by its digest. */
  readonly imagePath: string;
  readonly imageSize: number;
  readonly digest: ImageDigest;
}

/** Stages keys, sidecar and image, in this order: an image whose key is missing is lost. */
export async function writeImage(
  options: WriteOptions,
  payload: ImageSource,
  staged: StagedFiles,
  privateFiles: PrivateFiles | undefined,
): Promise<WrittenImage> {
  const { outDir, xts, signal } = options;
  const key = randomBytes(keySize);
  try {
    const keyFile = privateFiles && xts && (await stageKeys(staged, privateFiles, { outDir, key, xts }));
    const image = xts === undefined ? pieces(payload) : encryptImage(payload, key, xts);
    const imageSize = xts === undefined ? payload.size : encryptedImageSize(payload.size);
    const builder = new VerityBuilder(options.verityBlockSize);
    const plainPath = join(outDir, imageName);
    const sidecarFile = await staged.create(plainPath + sidecarSuffix, 0o644);
    const imageFile = await staged.create(plainPath, 0o644);
    let written = 0;
    for await (const piece of image) {
      signal?.throwIfAborted();
      builder.update(piece);
      await imageFile.appendFile(piece);
      written += piece.length;
      options.onProgress?.(written, imageSize);
    }
    const { sidecar, digest } = builder.finish();
    await sidecarFile.appendFile(sidecar);
    const imagePath = publishedPath(outDir, digest);
    if (privateFiles && keyFile) await staged.retarget(keyFile, privateFiles.key(digest));
    await staged.retarget(sidecarFile, imagePath + sidecarSuffix);
    if (await holds(imagePath, digest, options.verityBlockSize)) {
      // Untouched, but for its time of change: the file keeps its ETag, and nobody takes it for an old one.
      await chmod(imagePath, 0o644);
      await staged.withdraw(imageFile);
    } else {
      await staged.retarget(imageFile, imagePath);
    }
    return { imagePath, imageSize, digest };
  } finally {
    key.fill(0);
  }
}

/** Whether the image is there already, every byte of it. */
async function holds(path: string, digest: ImageDigest, blockSize: number): Promise<boolean> {
  if (!(await stat(path).catch(() => undefined))?.isFile()) return false;
  await using there = await openFileSource(path);
  return there.size > 0 && (await computeDigest(there, blockSize)) === digest;
}
