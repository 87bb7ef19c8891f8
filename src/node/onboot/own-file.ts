/**
 * Files of the running node, changed by root where others may write: a link that somebody has laid on the way, or in the place of the file, would have root change another one. Each directory is opened
 * from the one before (`/proc/self/fd`, as openat(2) does it); links are followed where they are root's alone.
 */
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readlink } from 'node:fs/promises';
import { errorCode, TetherfsError } from '../../base/errors.ts';
import { replaceFile } from '../replaced-file.ts';

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
/** As the kernel follows links (path_resolution(7)). */
const mostLinks = 40;

export class OwnFile implements AsyncDisposable {
  readonly path: string;
  readonly #directory: FileHandle;
  readonly #name: string;

  private constructor(path: string, directory: FileHandle, name: string) {
    this.path = path;
    this.#directory = directory;
    this.#name = name;
  }

  /** @param path a whole one; the file need not be there. @throws TetherfsError SYNC for a link of others; Error of a system call */
  static async at(path: string, links = 0): Promise<OwnFile> {
    const names = path.split('/').filter((name) => name !== '' && name !== '.');
    if (names.includes('..') || names.length === 0) throw new TetherfsError('SYNC', `${path} is no place for a file`);
    let directory = await open('/', O_RDONLY | O_DIRECTORY);
    try {
      for (const [index, name] of names.entries()) {
        const isLast = index === names.length - 1;
        const status = await lstat(`/proc/self/fd/${directory.fd}/${name}`).catch(() => undefined);
        if (status?.isSymbolicLink()) {
          if (status.uid !== 0 || links === mostLinks)
            throw new TetherfsError(
              'SYNC',
              `${path}: /${names.slice(0, index + 1).join('/')} is a link that is not root's`,
            );
          const target = await readlink(`/proc/self/fd/${directory.fd}/${name}`);
          const before = target.startsWith('/') ? '' : `/${names.slice(0, index).join('/')}`;
          await directory.close();
          return await OwnFile.at(resolved(`${before}/${[target, ...names.slice(index + 1)].join('/')}`), links + 1);
        }
        if (isLast) return new OwnFile(path, directory, name);
        const next = await open(`/proc/self/fd/${directory.fd}/${name}`, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        await directory.close();
        directory = next;
      }
      throw new RangeError('a path without a name');
    } catch (error) {
      await directory.close().catch(() => {});
      throw error;
    }
  }

  /** Undefined when it is not there. @throws TetherfsError SYNC when it is no file */
  async read(): Promise<Buffer | undefined> {
    await using file = await this.#open();
    return await file?.readFile();
  }

  /** In its place: all of it, with its owner and rights, or what was there before. */
  async replace(content: Uint8Array): Promise<void> {
    await using before = await this.#open();
    const status = await before?.stat();
    await replaceFile(this.#place, this.#name, content, {
      uid: status?.uid ?? 0,
      gid: status?.gid ?? 0,
      mode: status === undefined ? 0o644 : status.mode & 0o7777,
    });
  }

  /** @param change what is done to it, or to the directory of that name. @throws TetherfsError SYNC when there is none */
  async change(change: (handle: FileHandle) => Promise<void>): Promise<void> {
    await using handle = await this.#openNoLink();
    await change(handle);
  }

  /** Of the directory. */
  get #place(): string {
    return `/proc/self/fd/${this.#directory.fd}`;
  }

  /** A pipe is not waited for. */
  #openNoLink(): Promise<FileHandle> {
    return open(`${this.#place}/${this.#name}`, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  }

  async #open(): Promise<FileHandle | undefined> {
    const handle = await this.#openNoLink().catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (handle === undefined || (await handle.stat()).isFile()) return handle;
    await handle.close();
    throw new TetherfsError('SYNC', `${this.path} of this node is no file`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#directory.close();
  }
}

/** Without `.` and `..`, of names that are no links: those before a link have been walked, those behind are walked now. */
function resolved(path: string): string {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return `/${names.join('/')}`;
}
