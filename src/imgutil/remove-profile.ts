/** A profile goes away, with its images and their keys: at once for whoever asks for it, by renames; then by and by. */
import { lstat, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describeError, errorCode, pathOf, UsageError } from '../base/errors.ts';
import { isPrivateName, profileName } from '../profile/index.ts';
import { GcError } from './errors.ts';
import type { ImageUse } from './image-use.ts';
import { inventory } from './inventory.ts';
import { removeAbandoned, temporaryId } from './leftovers.ts';
import { defaultPrivateDir } from './private-place.ts';

export interface ProfilePlaces {
  readonly name: string;
  readonly publicDir: string;
  readonly privateDir: string;
}

const prefix = '.rm-';

/** @throws UsageError when there is none of that name. */
export async function profilePlaces(name: string, tree: string): Promise<ProfilePlaces> {
  if (!profileName.test(name) || isPrivateName(name))
    throw new UsageError(`${name}: give the name of a profile; "tetherfs image list" shows all`);
  const publicDir = join(tree, 'public/os', name);
  const places = { name, publicDir, privateDir: defaultPrivateDir(publicDir) };
  // One of which half was removed is still to be removed.
  if ((await isThere(publicDir)) || (await isThere(places.privateDir))) return places;
  throw new UsageError(`${name}: there is no such profile in ${tree}/public/os; "tetherfs image list" shows all`);
}

/** What speaks against it, by the access logs. */
export function usesOf({ name }: ProfilePlaces, { lastPaths, doubts }: ImageUse): string[] {
  const used = [...lastPaths].flatMap(([path, at]) =>
    basename(dirname(path)) === name ? [`${path} was asked for at ${new Date(at).toISOString()}`] : [],
  );
  return [...used, ...doubts.map((doubt) => `it is not certain that no node holds ${name}: ${doubt}`)];
}

/** @returns bytes of its images. @throws GcError */
export async function removeProfile({ publicDir, privateDir }: ProfilePlaces): Promise<number> {
  const images = await inventory(publicDir).catch(() => []);
  const size = images.reduce((sum, image) => sum + image.size, 0);
  for (const place of [dirname(publicDir), dirname(privateDir)]) await removeAbandoned(place, prefix);
  // Nobody begins to boot what is not there; the keys go last.
  for (const directory of [publicDir, privateDir]) {
    const aside = join(dirname(directory), `${prefix}${temporaryId()}`);
    try {
      if (!(await isThere(directory))) continue;
      await rename(directory, aside);
      await rm(aside, { recursive: true });
    } catch (cause) {
      throw new GcError([`${pathOf(cause) ?? directory}: ${describeError(cause)}`]);
    }
  }
  return size;
}

/** Also a link that leads nowhere. */
async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: unknown) => {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false;
      throw error;
    },
  );
}
