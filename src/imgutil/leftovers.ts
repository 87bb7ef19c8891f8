/**
 * What a pack that was killed has left: hidden files and directories whose names hold the number of the process that made them. The clear image may
 * be among them. A rename of several files that was under way is taken back (staged-files.ts).
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Older than this, what has no number of a process in its name is nobody's any more; ms. */
const longestPackMs = 86_400_000;

/** For the name of something temporary. */
export function temporaryId(): string {
  return `${process.pid}-${randomBytes(4).toString('hex')}`;
}

const staged = /^\.(.+)\.(new|old)-([0-9a-f]+|\d+-[0-9a-f]+)$/;
const workplace = /^\.rootimg\.sfs\.pack-/;

/** Removes it from these directories. @returns the paths of what it was. */
export async function removeLeftovers(directories: readonly string[]): Promise<string[]> {
  const found: { path: string; target: string; kind: string; id: string }[] = [];
  const removed: string[] = [];
  for (const directory of new Set(directories)) {
    for (const name of await readdir(directory).catch(() => [])) {
      const path = join(directory, name);
      const [, target = '', kind = '', id = ''] = staged.exec(name) ?? [];
      if (!(workplace.test(name) || kind !== '') || !(await isAbandoned(path, name))) continue;
      if (kind !== '') found.push({ path, target: join(directory, target), kind, id });
      else await rm(path, { recursive: true, force: true });
      removed.push(path);
    }
  }
  // Where a new file waits still not all were renamed: then none was. All are taken back before what tells so is gone.
  const unfinished = new Set(found.filter(({ kind }) => kind === 'new').map(({ id }) => id));
  const takenBack = found.filter(({ kind, id }) => kind === 'old' && unfinished.has(id));
  for (const { path, target } of takenBack) await rename(path, target);
  for (const { path } of found) await rm(path, { force: true });
  return removed;
}

/** The same of what unpacks: everything in `directory` whose name begins so. @returns the paths of what it was. */
export async function removeAbandoned(directory: string, prefix: string): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    if (!name.startsWith(prefix) || !(await isAbandoned(path, name))) continue;
    await rm(path, { recursive: true, force: true });
    removed.push(path);
  }
  return removed;
}

async function isAbandoned(path: string, name: string): Promise<boolean> {
  const [, pid] = /-(\d+)-[^-]+$/.exec(name) ?? [];
  if (pid !== undefined) return !existsSync(`/proc/${pid}`);
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > longestPackMs;
}
