/** How much a program reads, for a progress bar: what it has read, of what there is to read. */
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOf, placeOf } from '../base/tree-entry.ts';

const lookEveryMs = 250;
/** So many directories at once: then others have a turn. */
const directoriesAtOnce = 64;

/** By the process, and all that it has started: told every now and then, until it is called. */
export function watchReading(pid: number | undefined, onRead: ((bytes: number) => void) | undefined): () => void {
  if (pid === undefined || onRead === undefined) return () => {};
  const watch = setInterval(() => onRead(readBy(pid)), lookEveryMs);
  return () => clearInterval(watch);
}

/** proc(5), io: bytes that read(2) has returned. */
function readBy(pid: number): number {
  try {
    const [, bytes = '0'] = /^rchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8')) ?? [];
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
    return Number(bytes) + children.reduce((sum, child) => sum + readBy(Number(child)), 0);
  } catch {
    // It has ended.
    return 0;
  }
}

/** Entries of a tree by path, one character a byte: bytes of regular files, undefined of all else. */
export type TreeSizes = ReadonlyMap<string, number | undefined>;

export interface TreeSizesOptions {
  /** Whether with what is mounted in it. */
  withMounts: boolean;
  signal?: AbortSignal | undefined;
}

/** @throws AbortError; Error of a system call */
export async function treeSizes(tree: string, { withMounts, signal }: TreeSizesOptions): Promise<TreeSizes> {
  const root = bytesOf(tree);
  const { dev } = lstatSync(placeOf(root, '/'));
  const entries = new Map<string, number | undefined>();
  const waiting = [''];
  let looked = 0;
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    for (const name of readdirSync(placeOf(root, `/${directory}`), 'buffer')) {
      const path = `${directory}${directory && '/'}${name.toString('latin1')}`;
      const status = lstatSync(placeOf(root, `/${path}`), { throwIfNoEntry: false });
      if (status === undefined) continue;
      entries.set(path, status.isFile() ? status.size : undefined);
      if (status.isDirectory() && (withMounts || status.dev === dev)) waiting.push(path);
    }
    if (++looked % directoriesAtOnce === 0) await sleep(0, undefined, signal && { signal });
  }
  return entries;
}

export function totalOf(sizes: TreeSizes): number {
  let sum = 0;
  for (const size of sizes.values()) sum += size ?? 0;
  return sum;
}
