/** What is in a directory goes into another one of the same file system, and the other gets its owner, rights and extended attributes. */
import { execFile } from 'node:child_process';
import { readdir, rename } from 'node:fs/promises';
import { promisify } from 'node:util';

/** An empty directory of that name in `to` gives way. @throws Error of the system call */
export async function moveEntries(from: string, to: string): Promise<void> {
  for (const name of await readdir(from, 'buffer')) {
    const [source, target] = [from, to].map((directory) => Buffer.concat([Buffer.from(`${directory}/`), name]));
    if (source !== undefined && target !== undefined) await rename(source, target);
  }
  // Node knows no call for extended attributes, and cp leaves a directory that is there as it is.
  const alone = 'tar --numeric-owner --xattrs --xattrs-include="*" --directory="$1" --no-recursion --create .';
  const over = 'tar --numeric-owner --xattrs --xattrs-include="*" --directory="$2" --extract --preserve-permissions';
  await promisify(execFile)('sh', ['-ec', `${alone} | ${over}`, 'sh', from, to]);
}
