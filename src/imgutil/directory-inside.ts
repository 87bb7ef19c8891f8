/** Trees that are somebody's root: what is one, and directories of it by the names that they have there. */
import { mkdir, realpath } from 'node:fs/promises';
import { errorCode, UsageError } from '../base/errors.ts';
import { bytesOf, entryInside, placeOf } from '../base/tree-entry.ts';

/** Its real path. @param whyNotOurs why it must not be this machine's own. @throws UsageError; Error of realpath(3) */
export async function rootFilesystem(directory: string, whyNotOurs: string): Promise<string> {
  const tree = await realpath(directory);
  if (tree === '/') throw new UsageError(`/ is this machine: ${whyNotOurs}give the tree of an image`);
  if ((await entryInside(bytesOf(tree), '/usr'))?.status.isDirectory() !== true)
    throw new UsageError(`${directory} is no root filesystem: it has no /usr`);
  return tree;
}

/** Makes what is missing of it. @param tree its real path, one character a byte. @returns the directory's, on this machine. @throws UsageError where something else is in the way. */
export async function directoryInside(tree: string, path: string): Promise<string> {
  let real = '';
  for (const name of path.split('/').filter(Boolean)) {
    const found = await entryInside(tree, `${real}/${name}`);
    if (found?.status.isDirectory() === false) throw new UsageError(`${tree}${found.path} is no directory`);
    if (found === undefined) {
      await mkdir(placeOf(tree, `${real}/${name}`), { mode: 0o755 }).catch((cause: unknown) => {
        if (errorCode(cause) !== 'EEXIST') throw cause;
        throw new UsageError(`${real}/${name} of the tree is a link that leads nowhere`, { cause });
      });
    }
    real = found?.path ?? `${real}/${name}`;
  }
  return tree + real;
}
