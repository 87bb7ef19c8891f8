/**
 * Replaces several files together. Each is made under a temporary name beside its target; `commit` makes all of them
 * durable, then renames them in the order in which they were created. When a rename fails the earlier ones are undone. When
 * the machine dies between two renames, what was replaced is still there as `.NAME.old-ID` and what was not yet renamed as
 * `.NAME.new-ID`, with one ID: leftovers.ts takes that back.
 */
import { type FileHandle, link, open, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errorCode } from '../base/errors.ts';
import { temporaryId } from './leftovers.ts';
import { ownAs } from './made-directories.ts';

interface StagedFile {
  target: string;
  temporary: string;
  /** Present for a new file. */
  readonly handle?: FileHandle;
  /** It names another: that one must be durable under its name first. */
  readonly names?: true;
}

export class StagedFiles {
  readonly #id = temporaryId();
  readonly #files: StagedFile[] = [];

  /** A new empty file that will become `target`, with exactly this mode and its directory's owner. Write to it, do not close it. */
  async create(target: string, mode: number): Promise<FileHandle> {
    const temporary = this.#hidden(target, 'new');
    const handle = await open(temporary, 'wx', mode);
    this.#files.push({ target, temporary, handle });
    await handle.chmod(mode);
    await ownAs(temporary, dirname(target));
    return handle;
  }

  /** Whether something will become `target`. */
  makes(target: string): boolean {
    return this.#files.some((file) => file.target === target);
  }

  /** The created file will become `target` instead, in the same directory: its name was not known before its content was. */
  async retarget(handle: FileHandle, target: string): Promise<void> {
    const file = this.#files.find((staged) => staged.handle === handle);
    if (file === undefined) throw new Error('this file was not created here');
    const temporary = this.#hidden(target, 'new');
    await rename(file.temporary, temporary);
    Object.assign(file, { target, temporary });
  }

  /** The created file is not wanted after all. */
  async withdraw(handle: FileHandle): Promise<void> {
    const index = this.#files.findIndex((staged) => staged.handle === handle);
    const [file] = index < 0 ? [] : this.#files.splice(index, 1);
    if (file === undefined) throw new Error('this file was not created here');
    await handle.close();
    await rm(file.temporary, { force: true });
  }

  /** `target` will be another name of the file `existing`, on the same filesystem, before anything else is renamed. */
  async keepAs(existing: string, target: string): Promise<void> {
    const temporary = this.#hidden(target, 'new');
    await link(existing, temporary);
    this.#files.unshift({ target, temporary });
  }

  /** `target` will be a symbolic link that says `content`, and will not be seen before all that was staged earlier is durable. */
  async link(content: string, target: string): Promise<void> {
    const temporary = this.#hidden(target, 'new');
    await symlink(content, temporary);
    this.#files.push({ target, temporary, names: true });
    await ownAs(temporary, dirname(target));
  }

  async commit(): Promise<void> {
    for (const { handle } of this.#files) await handle?.sync();
    const undo: (() => Promise<void>)[] = [];
    let durable = false;
    try {
      for (const { target, temporary, names } of this.#files) {
        if (names && !durable) {
          await this.#syncDirectories();
          durable = true;
        }
        const replaced = this.#hidden(target, 'old');
        const existed = await keep(target, replaced);
        undo.push(() => (existed ? rename(replaced, target) : rm(target, { force: true })));
        await rename(temporary, target);
      }
      await this.#syncDirectories();
    } catch (error) {
      for (const step of undo.reverse()) await step();
      throw error;
    } finally {
      // After an undo too: rename(2) does nothing when both names are of one file.
      for (const { target } of this.#files) await rm(this.#hidden(target, 'old'), { force: true });
    }
  }

  /** Closes the files, and removes what is not committed. Always the last call. */
  async discard(): Promise<void> {
    for (const { handle, temporary } of this.#files) {
      await handle?.close();
      await rm(temporary, { force: true });
    }
  }

  #hidden(target: string, kind: 'new' | 'old'): string {
    return join(dirname(target), `.${basename(target)}.${kind}-${this.#id}`);
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

/** A second name for what is about to be replaced, be it a symbolic link itself; false when there is nothing. */
async function keep(target: string, replaced: string): Promise<boolean> {
  try {
    await link(target, replaced);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
