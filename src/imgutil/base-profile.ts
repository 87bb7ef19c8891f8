/** What a new profile takes over from another: all that an administrator has put there, and the profile lacks. What belongs to the image is its own. */
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describeError, UsageError } from '../base/errors.ts';
import type { MadeDirectories } from './made-directories.ts';
import { profileDirectory } from './private-place.ts';
import type { StagedFiles } from './staged-files.ts';

/** Of its image, of how that was made, of its kernel. */
const own = /^(?:rootimg[.-]|build-info$|manifest\.yaml$|boot\/kernel$|boot\/initramfs\/distribution$)/;
/** Temporary files, at any depth. */
const hidden = /(?:^|\/)\./;

/** @param given the name of a profile in `tree`, or a directory. @returns its directory. @throws UsageError */
export async function baseDirectory(given: string, tree: string, outDir: string): Promise<string> {
  const directory = profileDirectory(given, tree);
  const found = await lstat(directory).catch((cause: unknown) => {
    throw new UsageError(`--base-profile ${given}: ${directory}: ${describeError(cause)}`, { cause });
  });
  if (!found.isDirectory()) throw new UsageError(`--base-profile ${given}: ${directory} is no directory`);
  if (directory === outDir) throw new UsageError(`--base-profile ${given} is the profile itself: name another`);
  return directory;
}

/** Stages it: files, and links as they are. */
export async function stageBase(
  staged: StagedFiles,
  base: string,
  { outDir, made }: { outDir: string; made: MadeDirectories },
): Promise<void> {
  for (const name of (await readdir(base, { recursive: true })).sort()) {
    const [source, target] = [join(base, name), join(outDir, name)];
    if (own.test(name) || hidden.test(name) || staged.makes(target)) continue;
    if ((await lstat(target).catch(() => undefined)) !== undefined) continue;
    const { mode, ...found } = await describe(source);
    if (found.kind === 'other') continue;
    await made.make(dirname(target), 0o755);
    if (found.kind === 'link') await staged.link(await readlink(source), target);
    else {
      await using file = await open(source);
      const copy = await staged.create(target, mode & 0o777);
      for await (const piece of file.createReadStream({ autoClose: false })) await copy.appendFile(piece);
    }
  }
}

async function describe(path: string): Promise<{ mode: number; kind: 'file' | 'link' | 'other' }> {
  const found = await lstat(path);
  return { mode: found.mode, kind: found.isFile() ? 'file' : found.isSymbolicLink() ? 'link' : 'other' };
}
