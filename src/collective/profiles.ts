/**
 * Profiles as they lie on a member: the public part (image, kernel, scripts), which anybody may fetch, and the private one (keys), which has a tree of its own.
 * Names come from nodes: nothing outside the two is ever opened.
 */
import { realpathSync } from 'node:fs';
import { open, readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { errorCode, TetherfsError } from '../base/errors.ts';
import { compareNames } from '../base/natural-order.ts';
import { isPrivateName, labelOf, profileName } from '../profile/index.ts';
import { absentOrUnreadable } from './readable.ts';

export interface ProfileSummary {
  name: string;
  /** Of profile.yaml. */
  label: string;
  /** 64 hexadecimal digits of the newest image; undefined where there is none. */
  digest?: string | undefined;
}

/** Of a private file, bytes: keys have some hundred. */
const largestPrivate = 16 * 1024 * 1024;
const newestImage = 'rootimg.sfs';

export class Profiles {
  readonly #tree: string;

  /** @param tree `/var/lib/confluent`: `public/os/NAME`, `private/os/NAME`. */
  constructor(tree: string) {
    this.#tree = tree;
  }

  get publicRoot(): string {
    return join(this.#tree, 'public');
  }

  /**
   * Whether anybody may have a file of the public tree: none whose name says that it is private or under way, and none that a link leads to in the private tree.
   * @param path below the public tree.
   */
  isPublic(path: string): boolean {
    const names = path.split('/').filter((name) => name !== '');
    if (names.some((name) => isPrivateName(name) || (name.startsWith('.') && !ofDistributions.has(name)))) return false;
    try {
      const real = realpathSync(join(this.publicRoot, ...names));
      const secret = realpathSync(join(this.#tree, 'private'));
      return real !== secret && !real.startsWith(`${secret}/`);
    } catch {
      return false;
    }
  }

  /** Of a profile. @throws TetherfsError NO_PROFILE when it cannot be a name. */
  publicDirectory(profile: string): string {
    return join(this.publicRoot, 'os', checked(profile));
  }

  privateDirectory(profile: string): string {
    return join(this.#tree, 'private/os', checked(profile));
  }

  async list(): Promise<ProfileSummary[]> {
    const entries = await readdir(join(this.publicRoot, 'os'), { withFileTypes: true }).catch(emptyWhenMissing);
    const names = entries.filter(
      (entry) =>
        (entry.isDirectory() || entry.isSymbolicLink()) && profileName.test(entry.name) && !isPrivateName(entry.name),
    );
    const sorted = names.map(({ name }) => name).sort(compareNames);
    return Promise.all(
      sorted.map(async (name) => ({ name, label: await this.#label(name), digest: await this.digest(name) })),
    );
  }

  async exists(profile: string): Promise<boolean> {
    const found = await stat(this.publicDirectory(profile)).catch(() => undefined);
    return found?.isDirectory() ?? false;
  }

  /** Of its newest image: rootimg.sfs is a link to `rootimg-HEX.sfs`. */
  async digest(profile: string): Promise<string | undefined> {
    const target = await readlink(join(this.publicDirectory(profile), newestImage)).catch(() => '');
    return /^rootimg-([0-9a-f]{64})\.sfs$/.exec(target)?.[1];
  }

  /** The key file of an image by its digest; undefined where there is none. @throws TetherfsError NOT_READABLE */
  async imageKey(profile: string, hex: string): Promise<Buffer | undefined> {
    if (!/^[0-9a-f]{64}$/.test(hex)) return undefined;
    const newest = (await this.digest(profile)) === hex ? ['rootimg.key'] : [];
    for (const name of [`rootimg-${hex}.key`, ...newest]) {
      const key = await this.#readPrivate(profile, ['pending', name]);
      if (key !== undefined) return key;
    }
    return undefined;
  }

  /** A file below `pending` of the private part; undefined where there is none. @throws TetherfsError NOT_READABLE */
  pendingFile(profile: string, path: string): Promise<Buffer | undefined> {
    return this.#readPrivate(profile, ['pending', ...path.split('/')]);
  }

  /** Names in a directory of scripts, `category` or `category.d`, in the order in which they are run. */
  async scripts(
    profile: string,
    kind: 'scripts' | 'ansible',
    category: string,
    isPrivate = false,
  ): Promise<{ directory: string; names: string[] }> {
    const parts = category.split('/');
    const top = join(isPrivate ? this.privateDirectory(profile) : this.publicDirectory(profile), kind);
    if (parts.some((part) => !isPlain(part))) return { directory: top, names: [] };
    for (const last of ['', '.d']) {
      const directory = join(top, ...parts) + last;
      const names = await readdir(directory).catch(absentOrUnreadable(directory));
      if (names !== undefined)
        return { directory, names: names.filter((name) => !name.startsWith('.')).sort(compareNames) };
    }
    return { directory: top, names: [] };
  }

  async #label(profile: string): Promise<string> {
    const yaml = await readFile(join(this.publicDirectory(profile), 'profile.yaml'), 'utf8').catch(() => '');
    return labelOf(yaml);
  }

  /** Nothing that a symbolic link leads out to; a file that is too large is none that a node asks for. */
  async #readPrivate(profile: string, parts: readonly string[]): Promise<Buffer | undefined> {
    if (parts.some((part) => !isPlain(part))) return undefined;
    const top = this.privateDirectory(profile);
    const given = join(top, ...parts);
    try {
      const path = await realpath(given);
      if (!path.startsWith((await realpath(top)) + sep)) return undefined;
      await using file = await open(path, 'r');
      const found = await file.stat();
      return found.isFile() && found.size <= largestPrivate ? await file.readFile() : undefined;
    } catch (error) {
      if (['ELOOP', 'ENAMETOOLONG', 'EISDIR'].includes(errorCode(error) ?? '')) return undefined;
      return absentOrUnreadable(given)(error);
    }
  }
}

function checked(profile: string): string {
  if (!profileName.test(profile)) throw new TetherfsError('NO_PROFILE', 'a profile cannot be called that');
  return profile;
}

/** One part of a path that leads nowhere else. */
function isPlain(part: string): boolean {
  return part !== '' && part !== '.' && part !== '..' && !/[\0/]/.test(part);
}

function emptyWhenMissing(error: unknown): [] {
  if (errorCode(error) === 'ENOENT') return [];
  throw error;
}

/** What installers look for. */
const ofDistributions = new Set(['.treeinfo', '.discinfo']);
