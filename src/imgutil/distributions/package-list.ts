/**
 * Lists of packages, in the form that confluent's imgutil has: names separated by blanks, `#` and what follows it is a comment; `<FILE>` is another list, seen from this one.
 * After `%onlyarch a b` and `%onlyversions v w` names count for those alone, until the next such line.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { describeError, UsageError } from '../../base/errors.ts';
import { otherNameOf } from './architecture.ts';

export interface PackageListFor {
  /** As the kernel or Debian calls it: `x86_64`, `amd64`. */
  readonly architecture: string;
  /** As lists name it: `9`, `24.04`. */
  readonly version: string;
}

/** @returns names, in order, each once. @throws UsageError when a list cannot be read, includes itself, or has a line that means nothing. */
export async function readPackageList(file: string, target: PackageListFor): Promise<string[]> {
  return [...new Set(await read(resolve(file), target, []))];
}

async function read(file: string, target: PackageListFor, including: readonly string[]): Promise<string[]> {
  if (including.includes(file)) throw new UsageError(`${file} includes itself: ${[...including, file].join(' > ')}`);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const whose = including.length === 0 ? '' : `, which ${including.at(-1)} includes`;
    throw new UsageError(`the package list ${file}${whose}: ${describeError(cause)}`, { cause });
  });
  const names: string[] = [];
  let counts = true;
  for (const [index, whole] of text.split('\n').entries()) {
    const line = whole.replace(/#.*/, '').trim();
    const only = /^%(\S*)\s*(.*)$/.exec(line);
    if (only !== null) {
      counts = matches(only[1] ?? '', (only[2] ?? '').split(/\s+/), target, `${file}:${index + 1}`);
      continue;
    }
    if (!counts) continue;
    for (const word of line.split(/\s+/).filter(Boolean)) {
      const [, included] = /^<([^>]+)>?$/.exec(word) ?? [];
      if (included !== undefined)
        names.push(...(await read(resolve(dirname(file), included), target, [...including, file])));
      else if (/^[A-Za-z0-9@_][\w.+:@^~*?-]*(?:[=/][\w.+:~-]+)?$/.test(word)) names.push(word);
      else throw new UsageError(`${file}:${index + 1}: ${word} is no name of a package`);
    }
  }
  return names;
}

function matches(condition: string, values: readonly string[], target: PackageListFor, where: string): boolean {
  const { architecture, version } = target;
  if (condition === 'onlyarch')
    return values.some((value) => [architecture, otherNameOf(architecture)].includes(value));
  if (condition === 'onlyversions') return values.includes(version);
  throw new UsageError(`${where}: %${condition} is neither %onlyarch nor %onlyversions`);
}
