/**
 * What a path means in a tree that is somebody's root directory: links are followed inside it, so that an absolute one means a file of the tree, never
 * one of ours. Trees and paths are of one character a byte (latin1), because names need be no UTF-8.
 */
import type { BigIntStats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { basename, dirname, posix } from 'node:path';
import { errorCode, shownText } from './errors.ts';

/** As the kernel follows links (path_resolution(7)). */
const mostLinks = 40;

export interface TreeEntry {
  /** In the tree, without links: `/etc/hostname`. */
  readonly path: string;
  readonly status: BigIntStats;
}

/** @param tree its real path. @returns undefined when there is nothing of that name. */
export async function entryInside(tree: string, path: string): Promise<TreeEntry | undefined> {
  const waiting = path.split('/');
  const real: string[] = [];
  let links = 0;
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      real.pop();
      continue;
    }
    const place = placeOf(tree, `/${[...real, name].join('/')}`);
    const status = await lstat(place, { bigint: true }).catch(absent);
    if (status === undefined) return undefined;
    if (status.isSymbolicLink()) {
      if (++links > mostLinks) return undefined;
      const target = (await readlink(place, 'buffer')).toString('latin1');
      if (target.startsWith('/')) real.length = 0;
      waiting.unshift(...target.split('/'));
      continue;
    }
    if (!status.isDirectory() && waiting.some((rest) => rest !== '')) return undefined;
    real.push(name);
  }
  const found = `/${real.join('/')}`;
  const status = await lstat(placeOf(tree, found), { bigint: true }).catch(absent);
  return status && { path: found, status };
}

/** Where something is, or would be made, that `path` names in the tree: as far as there are links, they are followed. */
export async function leadsTo(tree: string, path: string, links = 0): Promise<string> {
  const found = await entryInside(tree, path);
  if (found !== undefined || path === '/') return found?.path ?? '/';
  const directory = await leadsTo(tree, dirname(path), links);
  const place = `${directory === '/' ? '' : directory}/${basename(path)}`;
  const target = await readlink(placeOf(tree, place), 'buffer').catch(() => undefined);
  if (target === undefined || links > mostLinks) return place;
  return leadsTo(tree, posix.resolve(directory, target.toString('latin1')), links + 1);
}

/** The regular file that `path` names in the tree: undefined when there is none. */
export async function fileInside(tree: string, path: string): Promise<TreeEntry | undefined> {
  const found = await entryInside(tree, path);
  return found?.status.isFile() === true ? found : undefined;
}

/**
 * The regular files of the tree whose paths fit the pattern, in which `*` stands for anything within one name; in order, each once.
 * @param renamed whether a link may lead to a file of another name.
 */
export async function filesMatching(tree: string, pattern: string, renamed: boolean): Promise<TreeEntry[]> {
  let places = [''];
  for (const part of pattern.split('/').filter(Boolean)) {
    const next = await Promise.all(places.map((place) => within(tree, place, part)));
    places = next.flat();
  }
  const files = new Map<string, TreeEntry>();
  for (const place of places) {
    const file = await fileInside(tree, place);
    if (file !== undefined && (renamed || basename(file.path) === basename(place))) files.set(file.path, file);
  }
  return [...files.values()];
}

async function within(tree: string, place: string, part: string): Promise<string[]> {
  if (!part.includes('*')) return [`${place}/${part}`];
  const fits = new RegExp(`^${part.split('*').map(RegExp.escape).join('.*')}$`, 's');
  const found = await entryInside(tree, place);
  if (found?.status.isDirectory() !== true) return [];
  const names = (await readdir(placeOf(tree, found.path), 'buffer')).map((name) => name.toString('latin1')).sort();
  // As a shell has it.
  const visible = names.filter((name) => part.startsWith('.') || !name.startsWith('.'));
  return visible.filter((name) => fits.test(name)).map((name) => `${place}/${name}`);
}

/** Where it is on this machine. */
export function placeOf(tree: string, path: string): Buffer {
  return Buffer.from(tree + path, 'latin1');
}

/** One character a byte. */
export function bytesOf(path: string): string {
  return Buffer.from(path).toString('latin1');
}

/** For people. */
export function shownPath(path: string): string {
  return shownText(Buffer.from(path, 'latin1').toString('utf8'));
}

/** What a name too long, a file in place of a directory, or nothing at all has in common: there is no such file. */
function absent(error: unknown): undefined {
  if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP'].includes(errorCode(error) ?? '')) return undefined;
  throw error;
}
