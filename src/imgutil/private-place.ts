/**
 * Where the key of a packed image goes. Public and private files never share a directory: the public one is served to
 * everybody. In confluent's tree public/os/NAME has its counterpart private/os/NAME; elsewhere it is `OUT_DIR.private`.
 */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { errorCode, UsageError } from '../base/errors.ts';

export const confluentTree = '/var/lib/confluent';

/** The path without links, of something that may not exist yet: as far as it does. */
export async function realPlace(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    const parent = dirname(resolve(path));
    if (errorCode(error) !== 'ENOENT' || parent === resolve(path)) return resolve(path);
    return join(await realPlace(parent), basename(path));
  }
}

/** Absolute. `tree` is where confluent's tree really lies. */
export function defaultPrivateDir(outDir: string, tree: string): string {
  const out = resolve(outDir);
  const [kind, name, ...deeper] = relative(join(tree, 'public'), out).split(sep);
  if (kind === 'os' && name !== undefined && deeper.length === 0) return join(tree, 'private', 'os', name);
  return `${out}.private`;
}

/** Whether `path` is `directory` or lies in it. Both absolute. */
export function liesIn(path: string, directory: string): boolean {
  const [first] = relative(directory, path).split(sep);
  return first !== '..';
}

/** @throws UsageError when the private directory would be served: it lies in the output directory or in confluent's public tree. */
export function refusePublicPlace(privateDir: string, outDir: string, tree: string): void {
  for (const served of [resolve(outDir), join(tree, 'public')]) {
    if (liesIn(resolve(privateDir), served)) {
      throw new UsageError(
        `the key would be served: private directory ${privateDir} lies in ${served}; give another with --private-dir`,
      );
    }
  }
}
