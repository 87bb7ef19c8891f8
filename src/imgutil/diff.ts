/** What two trees differ in: files that one alone has, and what of the others is not the same. rsync compares them, every byte; times count for nothing. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { type TreeSizes, totalOf, treeSizes, watchReading } from './bytes-read.ts';
import { DiffError } from './errors.ts';
import type { SideBySide, SideName } from './side-by-side.ts';

export interface Difference {
  /** In the tree, one character a byte: `usr/bin/true`. */
  readonly path: string;
  readonly kind: 'added' | 'removed' | 'changed';
  /** Of one that is changed: `type`, `content`, `target`, `device`, `mode`, `owner`, `group`, `attributes`, `links`. */
  readonly what: readonly string[];
  /** Bytes, of regular files; undefined of others, and where there is none. */
  readonly before?: number | undefined;
  readonly after?: number | undefined;
}

export interface TreeSize {
  readonly files: number;
  /** Of all regular files. */
  readonly bytes: number;
}

export interface Comparison {
  /** By path. */
  readonly differences: readonly Difference[];
  readonly before: TreeSize;
  readonly after: TreeSize;
}

export interface DiffOptions {
  /** Bytes that were read, of all of both. */
  onRead?: ((done: number, total: number) => void) | undefined;
  signal: AbortSignal;
}

const rsyncWords = [
  ...['-rlpgoDXHn', '--checksum', '--delete', '--force', '--numeric-ids', '--8-bit-output', '--out-format=%i %n'],
] as const;

/** @throws DiffError, AbortError */
export async function compare(trees: SideBySide, { onRead, signal }: DiffOptions): Promise<Comparison> {
  const sizesOf = (side: SideName) => treeSizes(trees.seenAt(side), { withMounts: true, signal });
  const [before, after] = [await sizesOf('a'), await sizesOf('b')];
  const total = totalOf(after) + bytesToCompare(before, after);
  const [program = '', ...words] = [
    ...trees.words,
    'rsync',
    ...rsyncWords,
    `${trees.path('b')}/`,
    `${trees.path('a')}/`,
  ];
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' });
  const unwatch = watchReading(child.pid, (bytes) => onRead?.(Math.min(bytes, total), total));
  try {
    const ended = new Promise<number | null>((resolve, reject) => child.on('close', resolve).on('error', reject));
    ended.catch(() => {});
    const complaint = text(child.stderr);
    const differences: Difference[] = [];
    child.stdout.setEncoding('latin1');
    for await (const line of createInterface({ input: child.stdout })) {
      const found = difference(line, before, after);
      if (found !== undefined) differences.push(found);
    }
    const status = await ended;
    if (status !== 0) {
      const [why = ''] = (await complaint).split('\n').filter((line) => line.trim() !== '');
      throw new DiffError(
        status === 127 ? 'rsync is not installed (package rsync)' : `rsync: ${why} (status ${status})`,
      );
    }
    onRead?.(total, total);
    return {
      differences: differences.sort((a, b) => (a.path < b.path ? -1 : 1)),
      before: { files: before.size, bytes: totalOf(before) },
      after: { files: after.size, bytes: totalOf(after) },
    };
  } finally {
    unwatch();
  }
}

/** Of the first: what is as long as in the second must be read, too. */
function bytesToCompare(before: TreeSizes, after: TreeSizes): number {
  let sum = 0;
  for (const [path, size = 0] of before) if (after.get(path) === size) sum += size;
  return sum;
}

/** rsync(1), --itemize-changes: `YXcstpoguax NAME`; undefined of a line that tells of no difference. */
function difference(line: string, before: TreeSizes, after: TreeSizes): Difference | undefined {
  const [, item = '', name = ''] = /^(\*deleting {2}|\S{11}) (.+)$/s.exec(line) ?? [];
  const path = name
    .replace(/\/$/, '')
    .replaceAll(/\\#(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
  if (item === '' || path === '.') return undefined;
  const sizes = { before: before.get(path), after: after.get(path) };
  // In place of one of another kind there is a new one.
  if (item.startsWith('*')) return after.has(path) ? undefined : { path, kind: 'removed', what: [], ...sizes };
  if (item.endsWith('+++++++++'))
    return before.has(path)
      ? { path, kind: 'changed', what: ['type'], ...sizes }
      : { path, kind: 'added', what: [], ...sizes };
  const type = item[1] ?? '';
  const flags = item.slice(2);
  const contents: Record<string, string> = { L: 'target', D: 'device', S: 'device' };
  const what = [
    ...(/^[cs]|^.[s]/.test(flags) ? [contents[type] ?? 'content'] : []),
    ...(flags[3] === 'p' ? ['mode'] : []),
    ...(flags[4] === 'o' ? ['owner'] : []),
    ...(flags[5] === 'g' ? ['group'] : []),
    ...(flags.includes('x') ? ['attributes'] : []),
    ...(item[0] === 'h' ? ['links'] : []),
  ];
  return what.length === 0 ? undefined : { path, kind: 'changed', what, ...sizes };
}
