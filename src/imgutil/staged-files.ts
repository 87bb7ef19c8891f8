/**
 * Replaces several files together. Each is written under a temporary name beside its target; `commit` makes all of them
 * durable, then renames them in the order in which they were created. When a rename fails the earlier ones are undone. When
 * the machine dies between two renames, what was replaced is still there as `.NAME.old-ID` and what was not yet renamed as
 * `.NAME.new-ID`, with one ID.
 */
import { randomBytes } from 'node:crypto';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode } from '../base/errors.ts';
import { ownAs } from './made-directories.ts';

interface StagedFile {
  readonly target: string;
  readonly temporary: string;
  readonly replaced: string;
  readonly handle: FileHandle;
}

export class StagedFiles {
  readonly #id = randomBytes(4).toString('hex');
  readonly #files: StagedFile[] = [];

  /** A new empty file that will become `target`, with exactly this mode and its directory's owner. Write to it, do not close it. */
  async create(target: string, mode: number): Promise<FileHandle> {
    const name = (kind: string) => join(dirname(target), `.${basename(target)}.${kind}-${this.#id}`);
    const temporary = name('new');
    const handle = await open(temporary, 'wx', mode);
    this.#files.push({ target, temporary, replaced: name('old'), handle });
    await handle.chmod(mode);
    await ownAs(temporary, dirname(target));
    return handle;
  }

  async commit(): Promise<void> {
    for (const { handle } of this.#files) await handle.sync();
    const undo: (() => Promise<void>)[] = [];
    try {
      for (const file of this.#files) {
        const existed = await keep(file);
        undo.push(() => (existed ? rename(file.replaced, file.target) : rm(file.target, { force: true })));
        await rename(file.temporary, file.target);
      }
      await this.#syncDirectories();
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    } finally {
      // After an undo too: rename(2) does nothing when both names are of one file.
      for (const { replaced } of this.#files) await rm(replaced, { force: true });
    }
  }

  /** Closes the files, and removes what is not committed. Always the last call. */
  async discard(): Promise<void> {
    for (const { handle, temporary } of this.#files) {
      await handle.close();
      await rm(temporary, { force: true });
    }
  }

  async #syncDirectories(): Promise<void> {
    for (const directory of new Set(this.#files.map(({ target }) => dirname(target)))) {
      const handle = await open(directory);
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }
  }
}

/** A second name for the file that is about to be replaced; false when there is none. */
async function keep({ target, replaced }: StagedFile): Promise<boolean> {
  try {
    await link(target, replaced);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
