/** What is packed in place of files of the tree: files of their own, with the attributes of what they stand for, to be mounted over it. */
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describeError } from '../base/errors.ts';
import { bytesOf, shownPath } from '../base/tree-entry.ts';
import { PackError } from './errors.ts';
import type { MachineFile } from './machine-files.ts';

const run = promisify(execFile);

export interface Cover {
  /** In the tree: `/etc/machine-id`. */
  readonly path: string;
  /** On this machine; undefined: the file of the tree is left out. */
  readonly file: string | undefined;
}

/** @param tree its real path. @param directory gets the files; made here. @throws PackError */
export async function makeCovers(tree: string, files: readonly MachineFile[], directory: string): Promise<Cover[]> {
  await mkdir(directory, { mode: 0o700 });
  const covers: Cover[] = [];
  for (const [index, { path, blank }] of files.entries()) {
    const name = Buffer.from(path, 'latin1').toString('utf8');
    if (bytesOf(name) !== path)
      throw new PackError(`cannot blank ${shownPath(path)} of the tree, whose name is no UTF-8: remove it`);
    if (blank === undefined) {
      covers.push({ path: name, file: undefined });
      continue;
    }
    const file = join(directory, String(index));
    await writeFile(file, blank, 'latin1');
    // Extended attributes, too, for which Node knows no call. Not `all`: with that it would be silent where it cannot.
    const attributes = ['--attributes-only', '--preserve=mode,ownership,timestamps,xattr'];
    await run('cp', [...attributes, '--', join(tree, name), file]).catch((cause: unknown) => {
      throw new PackError(`cannot make a blank ${shownPath(path)}: ${describeError(cause)}`, { cause });
    });
    covers.push({ path: name, file });
  }
  return covers;
}
