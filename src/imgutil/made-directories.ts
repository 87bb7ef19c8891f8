/** Making directories in a way that can be taken back, with the owner that their surroundings have. */
import { chmod, lchown, mkdir, rmdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { errorCode } from '../base/errors.ts';

/** Directories that did not exist before, so that a failure can take them away again. */
export class MadeDirectories {
  readonly #made: string[] = [];

  /** Makes a directory and what is missing above it, with this mode and the owner of the directory above. */
  async make(path: string, mode: number): Promise<void> {
    const absolute = resolve(path);
    try {
      await mkdir(absolute, mode);
    } catch (error) {
      if (errorCode(error) === 'EEXIST' && (await stat(absolute)).isDirectory()) return;
      if (errorCode(error) !== 'ENOENT') throw error;
      await this.make(dirname(absolute), mode);
      await mkdir(absolute, mode);
    }
    this.#made.push(absolute);
    // Whatever our umask is: a web server must get in, or nobody else.
    await chmod(absolute, mode);
    await ownAs(absolute, dirname(absolute));
  }

  /** Removes those that are empty. */
  async remove(): Promise<void> {
    for (const path of this.#made.splice(0).reverse()) {
      await rmdir(path).catch((error: unknown) => {
        if (errorCode(error) !== 'ENOTEMPTY' && errorCode(error) !== 'ENOENT') throw error;
      });
    }
  }
}

/** Root gives a file to the owner of `directory`, so that the service which owns confluent's tree can read it. */
export async function ownAs(path: string, directory: string): Promise<void> {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = await stat(directory);
  await lchown(path, uid, gid);
}
