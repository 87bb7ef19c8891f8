/** The keys of published images: each under its image's digest for as long as that is there, and the newest under confluent's name. */
import { access, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { formatKeyFile } from '../image/key-file.ts';
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
  outDir: string,
  key: Uint8Array,
): Promise<FileHandle> {
  const replaced = await newestImage(outDir);
  const keptAs = replaced && privateFiles.key(replaced.digest);
  if (keptAs !== undefined && (await exists(privateFiles.newestKey)) && !(await exists(keptAs))) {
    await staged.keepAs(privateFiles.newestKey, keptAs);
  }
  const files = [privateFiles.newestKey, join(privateFiles.directory, 'rootimg-new.key')];
  const handles = await Promise.all(files.map((path) => staged.create(path, 0o600)));
  for (const handle of handles) await handle.appendFile(formatKeyFile(key));
  const own = handles[1];
  if (own === undefined) throw new Error('a file for each path');
  return own;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
