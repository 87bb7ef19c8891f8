/** The authorities that options name, as PEM: a file, and every file of a directory. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../base/errors.ts';
import type { FileUrl } from '../base/file-url.ts';
import { readGivenFile, unreadable } from '../base/given-file.ts';
import { parseCas, systemCas } from './trust.ts';

export interface AuthorityOptions {
  caFile?: string | undefined;
  caDir?: string | undefined;
}

/** Each a certificate, whatever else the files hold. Undefined when none are named. @throws UsageError for what cannot be read, and a directory without any. */
export function givenAuthorities({ caFile, caDir }: AuthorityOptions): string[] | undefined {
  if (caFile === undefined && caDir === undefined) return undefined;
  return [
    ...(caFile === undefined ? [] : parseCas(readGivenFile(caFile, '--ca-file').toString('utf8'))),
    ...(caDir === undefined ? [] : authoritiesIn(caDir)),
  ];
}

/** In PEM: those that are named, else the machine's; undefined where no member needs one. @throws as givenAuthorities */
export function authoritiesFor(urls: readonly FileUrl[], options: AuthorityOptions): string[] | undefined {
  return givenAuthorities(options) ?? (urls.some(({ secure }) => secure) ? systemCas() : undefined);
}

/** Each once: names of their hashes (`openssl rehash`) lead to the same files. Files without a certificate are passed over. */
function authoritiesIn(directory: string): string[] {
  const found = new Set<string>();
  for (const name of namesIn(directory)) {
    const path = join(directory, name);
    if (!isFile(path)) continue;
    const text = readGivenFile(path, '--ca-dir').toString('utf8');
    if (!text.includes('-----BEGIN CERTIFICATE-----')) continue;
    for (const certificate of parseCas(text, `--ca-dir ${path}`)) found.add(certificate);
  }
  if (found.size === 0)
    throw new UsageError(`--ca-dir ${directory}: no file in it holds a certificate in PEM (BEGIN CERTIFICATE)`);
  return [...found];
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (cause) {
    throw unreadable(`--ca-dir ${directory}`, cause, 'directory');
  }
}

/** A link that leads nowhere, or in a circle, is none. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
