/** The files of a tree that every machine has of its own (machine-rules.ts), and what is packed in their place. The tree itself stays as it is, unless it is ours alone. */
import { open, readdir, rm } from 'node:fs/promises';
import { UsageError } from '../base/errors.ts';
import { bytesOf, entryInside, filesMatching, placeOf, shownPath, type TreeEntry } from '../base/tree-entry.ts';
import { PackError } from './errors.ts';
import { largestText, type MachineRule, machineRules, shortestHash } from './machine-rules.ts';

export interface MachineFile {
  /** In the tree, without links, one character a byte: `/etc/machine-id`. */
  readonly path: string;
  /** What it holds, in a few words. */
  readonly what: string;
  /** What is packed in its place, one character a byte; undefined: nothing, not even an empty file. */
  readonly blank: string | undefined;
  /** Another one when the file has changed. */
  readonly version: string;
}

export interface MachineFilesOptions {
  /** Paths in the tree that are packed as they are. */
  keep: readonly string[];
  /** Whether the tree is that of a machine which runs. */
  ofRunning?: boolean | undefined;
}

/**
 * Those that hold something now.
 * @param tree its real path, one character a byte. @throws UsageError, PackError
 */
export async function machineFiles(
  tree: string,
  { keep, ofRunning = false }: MachineFilesOptions,
): Promise<MachineFile[]> {
  const kept = new Set(await Promise.all(keep.map((path) => keptPath(tree, path))));
  const found = new Map<string, MachineFile>();
  for (const rule of machineRules) {
    if (rule.ofRunning && !ofRunning) continue;
    for (const pattern of rule.paths) {
      for (const { path, status } of await ownFiles(tree, pattern)) {
        if (kept.has(path) || found.has(path) || status.size === 0n) continue;
        const blank = await blanked(placeOf(tree, path), rule);
        if (blank === 'as it is') continue;
        if (status.nlink > 1n)
          throw new PackError(
            `${shownPath(path)} (${rule.what}) has another name in the tree, by which it would be packed: remove that, or say --keep ${shownPath(path)}`,
          );
        found.set(path, { path, what: rule.what, blank: blank?.text, version: versionOf(status) });
      }
    }
  }
  return [...found.values()];
}

/** In a tree that is ours alone: files there become what would be packed in their place. */
export async function blankInPlace(tree: string, files: readonly MachineFile[]): Promise<void> {
  for (const { path, blank } of files) {
    const place = placeOf(tree, path);
    if (blank === undefined) {
      await rm(place);
      continue;
    }
    await using file = await open(place, 'r+');
    const { atime, mtime } = await file.stat();
    await file.truncate();
    await file.writeFile(blank, 'latin1');
    await file.utimes(atime, mtime);
  }
}

/** Below these mountpoints there may be files that cannot be seen, and would be packed. */
export function hidingMounts(mountpoints: readonly string[], tree: string): string[] {
  const rules = machineRules.filter(({ ofRunning }) => !ofRunning);
  const fixed = rules.flatMap(({ paths }) => paths.map((path) => path.replace(/\/[^/]*\*.*$/, '')));
  return mountpoints.filter((mountpoint) => {
    const path = bytesOf(mountpoint).slice(tree.length);
    return fixed.some((place) => `${place}/`.startsWith(`${path}/`));
  });
}

/** In homes only what lies there: whoever has one could lead us by a link to files of the system. */
async function ownFiles(tree: string, pattern: string): Promise<TreeEntry[]> {
  const [, within] = /^\/home\/\*(\/.*)$/.exec(pattern) ?? [];
  if (within === undefined) return filesMatching(tree, pattern, false);
  const found: TreeEntry[] = [];
  for (const home of await homes(tree)) {
    const files = await filesMatching(tree, home + within, false);
    found.push(...files.filter(({ path }) => path.startsWith(`${home}/`)));
  }
  return found;
}

/** Without links. */
async function homes(tree: string): Promise<string[]> {
  const all = await entryInside(tree, '/home');
  if (all?.status.isDirectory() !== true) return [];
  const names = await readdir(placeOf(tree, all.path), 'buffer');
  const found = names.map((name) => entryInside(tree, `${all.path}/${name.toString('latin1')}`));
  return (await Promise.all(found)).flatMap((entry) => (entry?.status.isDirectory() ? [entry.path] : []));
}

async function keptPath(tree: string, path: string): Promise<string> {
  const found = await entryInside(tree, bytesOf(path));
  if (found === undefined) throw new UsageError(`--keep ${path}: there is no such file in the tree`);
  return found.path;
}

async function blanked(
  place: Buffer,
  { becomes, ifItHolds }: MachineRule,
): Promise<{ text: string } | undefined | 'as it is'> {
  const all = becomes === 'nothing' ? undefined : { text: '' };
  if (ifItHolds === undefined && becomes !== 'without hashes') return all;
  await using file = await open(place);
  const { size } = await file.stat();
  if (size > largestText) return all;
  const text = (await file.readFile()).toString('latin1');
  if (ifItHolds !== undefined) return new RegExp(ifItHolds, 'im').test(text) ? all : 'as it is';
  const rest = withoutHashes(text);
  return rest === text ? 'as it is' : { text: rest };
}

function versionOf({ dev, ino, size, ctimeNs }: TreeEntry['status']): string {
  return [dev, ino, size, ctimeNs].join(':');
}

/** shadow(5), gshadow(5), passwd(5), group(5): nobody logs in by such a password any more, and what was locked stays locked. */
function withoutHashes(text: string): string {
  return text.replace(/^([^:\n]*):(!*)([^:\n]*)/gm, (line, name: string, locks: string, hash: string) =>
    hash.length < shortestHash ? line : `${name}:${locks === '' ? '*' : '!'}`,
  );
}
