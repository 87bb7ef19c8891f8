/** Distributions that trees are built of, and which one is meant. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { describeError, UsageError } from '../../base/errors.ts';
import { osReleaseValue } from '../../base/os-release.ts';
import { debian } from './debian.ts';
import type { Distribution, Family } from './distribution.ts';
import { el } from './el.ts';
import { fedora } from './fedora.ts';
import { suse } from './suse.ts';
import { ubuntu } from './ubuntu.ts';

export { architectureOf } from './architecture.ts';
export { type Distribution, type InstallPlan, shownDistribution } from './distribution.ts';
export { readPackageList } from './package-list.ts';

const families: readonly Family[] = [debian, ubuntu, el, fedora, suse];
/** Where `osdeploy import` of confluent lays media. */
const importedMedia = 'distributions';

/** For people. */
export const knownDistributions = families
  .flatMap(({ name, versions }) => versions?.map((version) => name + version) ?? [`${name}N`])
  .join(', ');

/** @param name `debian-12`, `debian12`, `el9`. @throws UsageError */
export function distributionNamed(name: string): Distribution {
  const [, word = '', version = ''] = /^([a-z]+)-?(\d[\d.]*)$/.exec(name) ?? [];
  const family = families.find((one) => one.name.replace('-', '') === word);
  if (family === undefined || !hasVersion(family, version))
    throw new UsageError(`--distro ${name}: it is one of ${knownDistributions}`);
  return { family, version };
}

/** What this machine is. @param file os-release(5). @throws UsageError when that is none of ours. */
export async function ownDistribution(file = '/etc/os-release'): Promise<Distribution> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const value = (name: string) => osReleaseValue(text, name) ?? '';
  const family = families.find(({ ids }) => ids.includes(value('ID')));
  const version = family?.versionOf(value('VERSION_ID')) ?? '';
  if (family !== undefined && hasVersion(family, version)) return { family, version };
  const what = `${value('ID')} ${value('VERSION_ID')}`.trim() || 'of no known distribution';
  throw new UsageError(`this machine is ${what}: say --distro with one of ${knownDistributions}`);
}

/** A medium. @param given a directory, or a name without slash: one that was imported. @param confluent its tree. @throws UsageError when there is none. */
export async function mediumOf(given: string, confluent: string): Promise<string> {
  const directory = given.includes('/') ? given : join(confluent, importedMedia, given);
  const found = await stat(directory).catch((cause: unknown) => {
    throw new UsageError(`-s ${given}: ${directory}: ${describeError(cause)}`, { cause });
  });
  if (!found.isDirectory()) throw new UsageError(`-s ${given}: ${directory} is no directory`);
  return isAbsolute(directory) ? directory : join(process.cwd(), directory);
}

/** Of which distribution a medium is. @throws UsageError when nothing tells. */
export async function distributionOfMedium(directory: string): Promise<Distribution> {
  const found = await byDescription(directory);
  if (found !== undefined) return found;
  for (const path of await readdir(directory, { recursive: true })) {
    for (const family of families) {
      const version = family.versionOfMedium(path);
      if (version !== undefined && hasVersion(family, version)) return { family, version };
    }
  }
  throw new UsageError(`${directory}: nothing tells of which distribution it is: say --distro`);
}

/** What `osdeploy import` of confluent has written down. */
async function byDescription(directory: string): Promise<Distribution | undefined> {
  const text = await readFile(join(directory, 'distinfo.yaml'), 'utf8').catch(() => '');
  const [, category = ''] = /^category:\s*["']?([\w.-]+)/m.exec(text) ?? [];
  try {
    return distributionNamed(category);
  } catch {
    return undefined;
  }
}

function hasVersion({ versions }: Family, version: string): boolean {
  return versions?.includes(version) ?? /^\d+$/.test(version);
}
