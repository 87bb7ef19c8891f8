/** Files of a root, the new one or, once it is this machine's, `''`, by the names that they have there: links are followed inside it, and what is replaced keeps its owner and rights. */
import { chmod, lstat, mkdir, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TetherfsError } from '../../base/errors.ts';
import { entryInside, placeOf } from '../../base/tree-entry.ts';
import { replaceFile } from '../replaced-file.ts';

export interface Written {
  /** Rights; those of what is replaced, or else 0644, when absent. */
  mode?: number;
  /** Group; root's when absent and nothing is replaced. */
  group?: number;
}

export class RootTree {
  readonly #root: string;

  /** @param root its real path; empty for this machine's own. */
  constructor(root: string) {
    this.#root = root;
  }

  async has(path: string): Promise<boolean> {
    return (await entryInside(this.#root, path)) !== undefined;
  }

  /** Whether the last name of the path is that of a link, wherever it leads. */
  async isLink(path: string): Promise<boolean> {
    const directory = await entryInside(this.#root, dirname(path));
    if (directory === undefined) return false;
    const place = join(placeOf(this.#root, directory.path).toString(), basename(path));
    return (await lstat(place).catch(() => undefined))?.isSymbolicLink() === true;
  }

  /** Undefined when there is no such file. */
  async read(path: string): Promise<string | undefined> {
    return (await this.bytes(path))?.toString('utf8');
  }

  /** Undefined when there is no such file. */
  async bytes(path: string): Promise<Buffer | undefined> {
    const found = await entryInside(this.#root, path);
    return found?.status.isFile() === true ? readFile(placeOf(this.#root, found.path)) : undefined;
  }

  /** Names in a directory; none when there is no such directory. */
  async list(path: string): Promise<string[]> {
    const found = await entryInside(this.#root, path);
    return found?.status.isDirectory() === true ? readdir(placeOf(this.#root, found.path), 'utf8') : [];
  }

  /** All of it, or what was there before. Directories above are made. @throws TetherfsError IDENTITY when one of them is none. */
  async write(path: string, content: string | Uint8Array, { mode, group }: Written = {}): Promise<void> {
    const found = await entryInside(this.#root, path);
    if (found !== undefined && !found.status.isFile()) throw notAs(path, 'file');
    // Behind a link to it lies the file itself; a link that leads nowhere is replaced.
    const real = found?.path ?? path;
    const directory = await this.#directory(dirname(real));
    await replaceFile(directory, basename(real), content, {
      uid: Number(found?.status.uid ?? 0),
      gid: group ?? Number(found?.status.gid ?? 0),
      mode: mode ?? (found === undefined ? 0o644 : Number(found.status.mode) & 0o7777),
    });
  }

  async link(path: string, target: string): Promise<void> {
    const place = join(await this.#directory(dirname(path)), basename(path));
    await rm(place, { force: true });
    await symlink(target, place);
  }

  async remove(path: string): Promise<void> {
    const directory = await entryInside(this.#root, dirname(path));
    if (directory === undefined) return;
    await rm(join(placeOf(this.#root, directory.path).toString(), basename(path)), { force: true });
  }

  /** Where there is none. @returns its place on this machine. */
  makeDirectory(path: string): Promise<string> {
    return this.#directory(path);
  }

  /** Only root gets at what is in it. */
  async makePrivateDirectory(path: string): Promise<void> {
    await chmod(await this.#directory(path), 0o700);
  }

  /** @returns its place on this machine. */
  async #directory(path: string): Promise<string> {
    const found = await entryInside(this.#root, path);
    if (found !== undefined) {
      if (!found.status.isDirectory()) throw notAs(path, 'directory');
      return placeOf(this.#root, found.path).toString();
    }
    const place = join(await this.#directory(dirname(path)), basename(path));
    await rm(place, { force: true });
    await mkdir(place);
    await chmod(place, 0o755);
    return place;
  }
}

function notAs(path: string, what: string): TetherfsError {
  return new TetherfsError('IDENTITY', `${path} of the image is no ${what}`);
}
