/** The keys of published images: each under its image's digest for as long as that is there, and the newest under confluent's name. */
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { TetherfsError } from '../base/errors.ts';
import type { Xts } from '../image/encryption.ts';
import { formatKeyFile, keyFileSizeLimit, parseKeyFile } from '../image/key-file.ts';
import { exists, openFileSource, readSmallFile } from './file-source.ts';
import { isOpenedBy } from './placed-files.ts';
import type { PrivateFiles } from './private-files.ts';
import { newestImage } from './published-names.ts';
import type { StagedFiles } from './staged-files.ts';

/**
 * Stages the key of a new image, and keeps the one that it replaces under its image's digest, where it is not kept yet (of an earlier version).
 * @returns the file that is to be named by the new image's digest once that is known.
 */
export async function stageKeys(
  staged: StagedFiles,
  privateFiles: PrivateFiles,
  { outDir, key, xts }: { outDir: string; key: Uint8Array; xts: Xts },
): Promise<FileHandle> {
  const replaced = await newestImage(outDir);
  if (replaced !== undefined) {
    const keptAs = privateFiles.key(replaced.digest);
    const isIts = !(await exists(keptAs)) && (await opens(privateFiles.newestKey, replaced.path, xts));
    if (isIts) await staged.keepAs(privateFiles.newestKey, keptAs);
  }
  const newest = await staged.create(privateFiles.newestKey, 0o600);
  const own = await staged.create(join(privateFiles.directory, 'rootimg-new.key'), 0o600);
  for (const handle of [newest, own]) await handle.appendFile(formatKeyFile(key));
  return own;
}

/** Whether the file is a key of the image. */
async function opens(keyFile: string, imagePath: string, xts: Xts): Promise<boolean> {
  try {
    const bytes = await readSmallFile(keyFile, keyFileSizeLimit);
    if (bytes === undefined) return false;
    await using image = await openFileSource(imagePath);
    return await isOpenedBy(image, parseKeyFile(bytes, keyFile), xts);
  } catch (error) {
    if (error instanceof TetherfsError) return false;
    throw error;
  }
}
