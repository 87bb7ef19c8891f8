/** The images that lie in a public directory, each under its digest. */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../base/errors.ts';
import { ImageSourceError } from './errors.ts';
import { companionSuffixes } from './published-names.ts';

export interface PublishedImage {
  /** 64 hexadecimal digits. */
  readonly hex: string;
  /** Names of its files, the image first: without it nobody begins to use the others. */
  readonly files: readonly string[];
  /** Of all of them, bytes. */
  readonly size: number;
  /** When it came here: its time of change, which nothing but this machine's clock sets. ms since 1970. */
  readonly arrived: number;
}

/** Newest first. @throws ImageSourceError when the directory cannot be read. */
export async function inventory(directory: string): Promise<PublishedImage[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((cause: unknown) => {
    throw new ImageSourceError(`cannot read ${directory}: ${describeError(cause)}`, { cause });
  });
  const byHex = new Map<string, string[]>();
  for (const entry of entries) {
    const [, hex, suffix = ''] = /^rootimg-([0-9a-f]{64})\.sfs(\.\w+)?$/.exec(entry.name) ?? [];
    const ours = suffix === '' || companionSuffixes.some((companion) => companion === suffix);
    if (hex === undefined || !ours || !(entry.isFile() || entry.isSymbolicLink())) continue;
    byHex.set(hex, [...(byHex.get(hex) ?? []), entry.name]);
  }
  const images = [...byHex].map(async ([hex, names]) => {
    const files = names.sort();
    const states = await Promise.all(files.map((name) => lstat(join(directory, name))));
    const [first] = states;
    if (first === undefined) throw new Error('an image without a file');
    return { hex, files, size: states.reduce((sum, { size }) => sum + size, 0), arrived: first.ctimeMs };
  });
  return (await Promise.all(images)).sort((a, b) => b.arrived - a.arrived);
}
