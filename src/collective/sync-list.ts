/**
 * A profile's `syncfiles`: which files of the member a node gets at each boot, in upstream's form. A line is `SOURCE… [-> [NODES:]TARGET] [(owner=…,group=…,permissions=…)]`; sections `REPLACE:`,
 * `MERGE:` and `APPENDONCE:`; `#` begins a comment, `<FILE>` takes another file in.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { UsageError } from '../base/errors.ts';
import { expandNames } from './nodes.ts';

export type SyncSection = 'replace' | 'merge' | 'appendOnce';

export interface SyncEntry {
  section: SyncSection;
  /** Paths on the member; may have wildcards. */
  sources: string[];
  /** On the node; undefined: as on the member. With a slash at its end it is a directory. */
  target: string | undefined;
  options: Record<string, string>;
}

const sections: Readonly<Record<string, SyncSection>> = {
  'REPLACE:': 'replace',
  'MERGE:': 'merge',
  'APPENDONCE:': 'appendOnce',
};
const deepest = 10;
const optionNames = ['owner', 'group', 'permissions'];

/** Of one node. @throws UsageError that names file and line. */
export async function readSyncList(path: string, node: string, depth = 0): Promise<SyncEntry[]> {
  if (depth > deepest) throw new UsageError(`${path}: files take one another in`);
  const text = await readFile(path, 'utf8');
  const entries: SyncEntry[] = [];
  let section: SyncSection = 'replace';
  for (const [index, whole] of text.split('\n').entries()) {
    const line = (whole.split('#', 1)[0] ?? '').trim();
    const where = `${path}, line ${index + 1}`;
    if (line === '') continue;
    const included = /^<(.*?)>?$/.exec(line)?.[1];
    if (included !== undefined)
      entries.push(...(await readSyncList(resolve(dirname(path), included), node, depth + 1)));
    else if (line.endsWith(':')) section = sectionOf(line, where);
    else {
      const entry = parseLine(line, section, node, where);
      if (entry !== undefined) entries.push(entry);
    }
  }
  return entries;
}

function sectionOf(line: string, where: string): SyncSection {
  const section = sections[line];
  if (section === undefined) throw new UsageError(`${where}: ${line} is no section: REPLACE:, MERGE:, APPENDONCE:`);
  return section;
}

/** Undefined when the line is not for this node. */
function parseLine(line: string, section: SyncSection, node: string, where: string): SyncEntry | undefined {
  if (/[$%^&|{}]/.test(line)) throw new UsageError(`${where}: none of $ % ^ & | { } may be in it`);
  const [, before = '', optionText] = /^(.*?)(?:\s*\(([^()]*)\))?$/.exec(line) ?? [];
  const [left = '', right, ...more] = before.split('->').map((part) => part.trim());
  const sources = left.split(/\s+/).filter((word) => word !== '');
  if (more.length > 0 || sources.length === 0 || right === '')
    throw new UsageError(`${where}: SOURCE -> TARGET is its form`);
  const [, nodes, target] = /^(?:([^:/]+):)?(.*)$/.exec(right ?? '') ?? [];
  if (nodes !== undefined && !expandNames([nodes]).includes(node)) return undefined;
  if (sources.some((source) => !source.startsWith('/')) || (target && !target.startsWith('/'))) {
    throw new UsageError(`${where}: paths begin with /`);
  }
  if (sources.length > 1 && target && !target.endsWith('/'))
    throw new UsageError(`${where}: for several files ${target} must be a directory: ${target}/`);
  return { section, sources, target: target || undefined, options: parseOptions(optionText, where) };
}

function parseOptions(text: string | undefined, where: string): Record<string, string> {
  const words = (text ?? '').split(/[\s,]+/).filter((word) => word !== '');
  return Object.fromEntries(
    words.map((word) => {
      const [name = '', value = ''] = word.split('=');
      if (!optionNames.includes(name) || !/^[A-Za-z0-9._-]+$/.test(value)) {
        throw new UsageError(`${where}: (${word}) is no option: owner=NAME, group=NAME, permissions=OCTAL`);
      }
      return [name, value];
    }),
  );
}
