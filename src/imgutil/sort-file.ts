/** mksquashfs' own form of a boot order: the file of its option -sort, `PATH PRIORITY` a line, the highest written first. */
import { lstat, readlink } from 'node:fs/promises';
import { errorCode } from '../base/errors.ts';
import type { BootOrderItem } from '../image/boot-order.ts';

export interface SortedFiles {
  /** Of mksquashfs, one character a byte. */
  readonly text: string;
  /** Files of the tree that are in it. */
  readonly files: number;
  /** The items that are in it, by the paths that they have in the image: no links. */
  readonly items: readonly BootOrderItem[];
}

/** Priorities are 16-bit numbers, and files that none is given have 0. */
const highestPriority = 32767;
/** As the kernel follows links (path_resolution(7)). */
const mostLinks = 40;

/**
 * Those of the items that are regular files of the tree, each file once. Paths are resolved inside it: an absolute link means a file of the tree. (mksquashfs
 * fails on a path that does not exist, and takes an absolute one for the host's.)
 * @param tree its real path.
 */
export async function sortedFiles(items: readonly BootOrderItem[], tree: string): Promise<SortedFiles> {
  const lines: string[] = [];
  const kept: BootOrderItem[] = [];
  const seen = new Set<string>();
  for (const item of items) {
    const found = await fileInside(tree, item.path);
    if (found === undefined || !canBeListed(bytesOf(tree) + found.path)) continue;
    if (!seen.has(found.identity)) {
      if (lines.length === highestPriority) break;
      seen.add(found.identity);
      lines.push(`${escaped(bytesOf(tree) + found.path)} ${highestPriority - lines.length}\n`);
    }
    kept.push({ ...item, path: found.path });
  }
  return { text: lines.join(''), files: lines.length, items: kept };
}

/** mksquashfs reads a line at a time, and takes what ends so for a whole directory. */
function canBeListed(path: string): boolean {
  return !path.includes('\n') && !path.endsWith('/*');
}

/** The regular file that `path` names in the tree, without links: undefined when there is none. */
async function fileInside(tree: string, path: string): Promise<{ path: string; identity: string } | undefined> {
  const waiting = path.split('/');
  const real: string[] = [];
  let links = 0;
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      real.pop();
      continue;
    }
    const place = Buffer.from(`${bytesOf(tree)}/${[...real, name].join('/')}`, 'latin1');
    const status = await lstat(place, { bigint: true }).catch(absent);
    if (status === undefined) return undefined;
    if (status.isSymbolicLink()) {
      if (++links > mostLinks) return undefined;
      const target = (await readlink(place, 'buffer')).toString('latin1');
      if (target.startsWith('/')) real.length = 0;
      waiting.unshift(...target.split('/'));
      continue;
    }
    real.push(name);
    if (waiting.every((rest) => rest === '') && status.isFile()) {
      return { path: `/${real.join('/')}`, identity: `${status.dev}:${status.ino}` };
    }
  }
  return undefined;
}

/** What a name too long, a file in place of a directory, or nothing at all has in common: there is no such file. */
function absent(error: unknown): undefined {
  if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP'].includes(errorCode(error) ?? '')) return undefined;
  throw error;
}

function bytesOf(path: string): string {
  return Buffer.from(path).toString('latin1');
}

/** A backslash takes away what a blank or a backslash means. */
function escaped(path: string): string {
  return path.replace(/[\s\\]/g, '\\$&');
}
