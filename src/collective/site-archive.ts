/**
 * The archive that upstream calls site.cpio: what an initramfs must know of its site before it can ask anybody. Its UUID; the authorities of ssh and TLS, those that sign and those that
 * did, so that a node believes either while they are changed; the keys of people and of this member for root. All of it is public. It lies on the members, and profiles link to it.
 */
import { mkdir, readdir, readlink, rename, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { type Content, cpioArchive } from '../base/cpio.ts';
import type { Authorities, Authority } from './authorities.ts';
import type { Profiles } from './profiles.ts';
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

/** Below the public tree. */
export const siteArchive = 'site/initramfs.cpio';
const linkName = 'site.cpio';

export async function makeSiteArchive(
  facts: SiteArchiveFacts,
  { authorities, run }: SiteArchiveParts,
): Promise<Buffer> {
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
export async function writeSiteArchive(archive: Uint8Array, profiles: Profiles): Promise<string> {
  const path = join(profiles.publicRoot, siteArchive);
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeFile(`${path}.new`, archive, { mode: 0o644 });
  await rename(`${path}.new`, path);
  return path;
}

/** Has every profile with an initramfs link to it. @returns those that had not. */
export async function linkSiteArchive(profiles: Profiles): Promise<string[]> {
  const linked: string[] = [];
  const archive = join(profiles.publicRoot, siteArchive);
  for (const { name } of await profiles.list()) {
    const directory = join(profiles.publicDirectory(name), 'boot/initramfs');
    const there = await readdir(directory).catch(() => undefined);
    if (there === undefined) continue;
    const path = join(directory, linkName);
    const target = relative(directory, archive);
    if ((await readlink(path).catch(() => '')) === target) continue;
    await symlink(target, `${path}.new`);
    await rename(`${path}.new`, path);
    linked.push(name);
  }
  return linked;
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
