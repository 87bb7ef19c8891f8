/**
 * Where the key of a packed image goes. Public and private files never share a directory: the public one is served to
 * everybody. TREE/public/os/NAME has its counterpart TREE/private/os/NAME, as in confluent's tree, whatever TREE is; elsewhere it is `OUT_DIR.private`.
 */
import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { errorCode, UsageError } from '../base/errors.ts';

export const confluentTree = '/var/lib/confluent';

/** @param given a profile's public directory, or its name in `tree`. */
export function profileDirectory(given: string, tree: string): string {
  return given.includes('/') ? resolve(given) : join(tree, 'public/os', given);
}

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

/** Absolute. Where an earlier version has left one beside it, that. */
export function defaultPrivateDir(outDir: string): string {
  const out = resolve(outDir);
  const beside = `${out}.private`;
  const [, tree, name] = /^(.*)\/public\/os\/([^/]+)$/.exec(out) ?? [];
  return tree === undefined || name === undefined || existsSync(beside) ? beside : join(tree, 'private/os', name);
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
