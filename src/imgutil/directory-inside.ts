/** A directory of a tree that is somebody's root, by the name that it has there. */
import { mkdir } from 'node:fs/promises';
import { errorCode, UsageError } from '../base/errors.ts';
import { entryInside, placeOf } from '../base/tree-entry.ts';

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
