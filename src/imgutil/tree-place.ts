/** A place for a new tree: it is made beside that, and takes it when it is whole. What ends before leaves the place as it was. */
import { lstat, mkdir, readdir, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { describeError, UsageError } from '../base/errors.ts';
import { removeAbandoned, temporaryId } from './leftovers.ts';
import { mountsAt } from './mounts-inside.ts';
import { moveEntries } from './move-entries.ts';

export class TreePlace implements AsyncDisposable {
  /** The place. */
  readonly directory: string;
  /** The directory whose file system gets it. */
  readonly beside: string;
  /** Only root gets there. */
  readonly work: string;
  /** Where the tree is to be made; nothing is there. */
  readonly tree: string;
  /** It cannot be renamed to. */
  readonly #isMountpoint: boolean;

  /**
   * @param given an empty directory, or none yet; one that something is mounted on may have its lost+found. @param purpose a word for names. @param onLeftover told what a run that
   * was killed had left, and was removed. @throws UsageError
   */
  static async claim(given: string, purpose: string, onLeftover?: (path: string) => void): Promise<TreePlace> {
    const ownWork = (directory: string) => `.${basename(directory)}.${purpose}-`;
    const { directory, isMountpoint } = await find(given, purpose, ownWork);
    const beside = isMountpoint ? directory : dirname(directory);
    for (const path of await removeAbandoned(beside, ownWork(directory))) onLeftover?.(path);
    const place = new TreePlace(directory, beside, `${ownWork(directory)}${temporaryId()}`, isMountpoint);
    await mkdir(place.work, { mode: 0o700 }).catch((cause: unknown) => {
      throw new UsageError(`cannot ${purpose} into ${given}: ${beside}: ${describeError(cause)}`, { cause });
    });
    return place;
  }

  private constructor(directory: string, beside: string, workName: string, isMountpoint: boolean) {
    this.directory = directory;
    this.beside = beside;
    this.work = join(beside, workName);
    this.tree = join(this.work, 'root');
    this.#isMountpoint = isMountpoint;
  }

  /** The tree is whole. */
  async fill(): Promise<void> {
    if (this.#isMountpoint) await moveEntries(this.tree, this.directory);
    else await rename(this.tree, this.directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.work, { recursive: true, force: true });
  }
}

/** @throws UsageError */
async function find(
  given: string,
  purpose: string,
  ownWork: (directory: string) => string,
): Promise<{ directory: string; isMountpoint: boolean }> {
  if ((await lstat(given).catch(() => undefined)) === undefined) {
    const above = dirname(resolve(given));
    const parent = await realpath(above).catch((cause: unknown) => {
      throw new UsageError(`cannot ${purpose} into ${given}: ${above}: ${describeError(cause)}`, { cause });
    });
    return { directory: join(parent, basename(resolve(given))), isMountpoint: false };
  }
  const directory = await realpath(given);
  const isMountpoint = mountsAt(directory);
  const inTheWay = (await readdir(directory).catch(() => ['it is a file'])).filter(
    (name) => !(isMountpoint && (name === 'lost+found' || name.startsWith(ownWork(directory)))),
  );
  if (inTheWay.length > 0)
    throw new UsageError(`${given} is there, and is no empty directory: name another, or remove it first`);
  return { directory, isMountpoint };
}
