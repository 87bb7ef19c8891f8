/** mksquashfs' own form of a boot order: the file of its option -sort, `PATH PRIORITY` a line, the highest written first. */
import { bytesOf, fileInside } from '../base/tree-entry.ts';
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
    const found = await fileInside(bytesOf(tree), item.path);
    if (found === undefined || !canBeListed(bytesOf(tree) + found.path)) continue;
    const identity = `${found.status.dev}:${found.status.ino}`;
    if (!seen.has(identity)) {
      if (lines.length === highestPriority) break;
      seen.add(identity);
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

/** A backslash takes away what a blank or a backslash means. */
function escaped(path: string): string {
  return path.replace(/[\s\\]/g, '\\$&');
}
