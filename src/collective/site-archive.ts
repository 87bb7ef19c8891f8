/**
 * The archive that upstream calls site.cpio: what an initramfs must know of its site before it can ask anybody. Its UUID; the authorities of ssh and TLS, those that sign and those that
 * did, so that a node believes either while they are changed; the keys of people and of this member for root. All of it is public. It lies on the members, and profiles link to it.
 */
import { readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { type Content, cpioArchive } from '../base/cpio.ts';
import { describeError } from '../base/errors.ts';
import type { Authorities, Authority } from './authorities.ts';
import type { Profiles } from './profiles.ts';
import { ensureSite } from './site.ts';
import type { Store } from './store/contract.ts';
import type { RunTool } from './tools.ts';

export interface SiteArchiveFacts {
  uuid: string;
  member: string;
  /** Lines of .pub files. */
  rootKeys: readonly string[];
  automationKey: string;
}

export interface SiteArchiveParts {
  authorities: Authorities;
  run: RunTool;
}

export interface ArchiveKeeperParts extends SiteArchiveParts {
  store: Store;
  profiles: Profiles;
  member: string;
  /** Private key, beside its `.pub`. */
  automationKey: string;
}

/** The archive on a member that runs: as the site is now, and linked into every profile, those too that have come since. */
export class SiteArchive {
  readonly #parts: ArchiveKeeperParts;
  /** Of what it was written. */
  #of = '';

  constructor(parts: ArchiveKeeperParts) {
    this.#parts = parts;
  }

  /** @returns whether it was written anew. */
  async renew(): Promise<Links & { isNew: boolean }> {
    const { store, profiles, member, automationKey, authorities } = this.#parts;
    const { uuid, rootKeys } = await ensureSite(store);
    const facts = { uuid, member, rootKeys, automationKey: readFileSync(`${automationKey}.pub`, 'utf8') };
    const believed = await Promise.all([authorities.list('ssh'), authorities.list('tls')]);
    const of = JSON.stringify([facts, believed.flat().map(({ id }) => id)]);
    const isNew = of !== this.#of;
    if (isNew) await writeSiteArchive(await makeSiteArchive(facts, this.#parts), profiles);
    this.#of = of;
    return { isNew, ...(await linkSiteArchive(profiles)) };
  }
}

/** Below the public tree. */
export const siteArchive = 'site/initramfs.cpio';
const linkName = 'site.cpio';

async function makeSiteArchive(facts: SiteArchiveFacts, { authorities, run }: SiteArchiveParts): Promise<Buffer> {
  const { uuid, member, rootKeys, automationKey } = facts;
  const files: Record<string, Content> = { confluent_uuid: line(uuid) };
  for (const [index, { shown }] of newestFirst(await authorities.list('ssh')).entries()) {
    files[`ssh/${numbered(member, index)}.ca`] = line(shown);
  }
  for (const [index, key] of rootKeys.entries()) files[`ssh/${numbered(member, index)}.rootpubkey`] = line(key);
  files[`ssh/${member}.automationpubkey`] = line(automationKey);
  const hashes = new Map<string, number>();
  for (const [index, { shown }] of newestFirst(await authorities.list('tls')).entries()) {
    const name = `${numbered(member, index)}.pem`;
    files[`tls/${name}`] = line(shown);
    // By which OpenSSL looks for it; two of one name are counted.
    const hash = (
      await run('openssl', ['x509', '-noout', '-subject_hash'], { input: shown, package: 'openssl' })
    ).trim();
    const count = hashes.get(hash) ?? 0;
    hashes.set(hash, count + 1);
    files[`tls/${hash}.${count}`] = { link: name };
  }
  return cpioArchive(files, 0o644);
}

/** Puts it where nodes get it. @returns its path. */
async function writeSiteArchive(archive: Uint8Array, profiles: Profiles): Promise<string> {
  const path = join(profiles.publicRoot, siteArchive);
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await rm(`${path}.new`, { force: true });
  await writeFile(`${path}.new`, archive);
  // Whatever our umask is.
  await chmod(`${path}.new`, 0o644);
  await rename(`${path}.new`, path);
  return path;
}

export interface Links {
  /** Profiles that had no link to it. */
  linked: string[];
  /** Those whose directory is not ours to write to, and why. */
  failed: string[];
}

/** Has every profile with an initramfs link to it. */
async function linkSiteArchive(profiles: Profiles): Promise<Links> {
  const [linked, failed]: [string[], string[]] = [[], []];
  const archive = join(profiles.publicRoot, siteArchive);
  for (const { name } of await profiles.list()) {
    const directory = join(profiles.publicDirectory(name), 'boot/initramfs');
    const there = await readdir(directory).catch(() => undefined);
    if (there === undefined) continue;
    const path = join(directory, linkName);
    const target = relative(directory, archive);
    if ((await readlink(path).catch(() => '')) === target) continue;
    try {
      // Of one that was killed.
      await rm(`${path}.new`, { force: true });
      await symlink(target, `${path}.new`);
      await rename(`${path}.new`, path);
      linked.push(name);
    } catch (error) {
      failed.push(`${path}: ${describeError(error)}`);
    }
  }
  return { linked, failed };
}

function newestFirst(authorities: readonly Authority[]): Authority[] {
  return authorities.toReversed();
}

function numbered(member: string, index: number): string {
  return index === 0 ? member : `${member}-${index + 1}`;
}

function line(text: string): Buffer {
  return Buffer.from(text.endsWith('\n') ? text : `${text}\n`);
}
