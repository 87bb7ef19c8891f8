/** Where a new image goes: its public directory, and the private one, made when they are not there. */
import { realpath, stat } from 'node:fs/promises';
import { UsageError } from '../base/errors.ts';
import { isFileUrl } from '../base/file-url.ts';
import type { MadeDirectories } from './made-directories.ts';
import { PrivateFiles, type PrivatePlace } from './private-files.ts';
import { confluentTree, realPlace, refusePublicPlace } from './private-place.ts';

/** @returns its real path. @throws UsageError when no image can go there, whatever is tried. */
export async function makeOutput(path: string, made: MadeDirectories): Promise<string> {
  if (isFileUrl(path))
    throw new UsageError(`${path} is a URL: give the directory on this machine that is served there`);
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === false) throw new UsageError(`${path} is a file: give a directory for the image`);
  await made.make(path, 0o755);
  return realpath(path);
}

/** With the key's place in it. All paths are real ones: a symbolic link must not hide that it is served. @throws UsageError */
export async function makePrivatePlace(
  outDir: string,
  place: PrivatePlace,
  made: MadeDirectories,
): Promise<PrivateFiles> {
  const wanted = await PrivateFiles.besides(outDir, place);
  await made.make(wanted.directory, 0o700);
  const privateDir = await realpath(wanted.privateDir);
  refusePublicPlace(privateDir, outDir, await realPlace(place.tree ?? confluentTree));
  return new PrivateFiles(privateDir);
}
