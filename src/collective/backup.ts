/** Copies of the store, and back. */
import { chownSync, copyFileSync, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describeError, TetherfsError } from '../base/errors.ts';
import { ownerOf, storeFile } from './places.ts';
import { SqliteStore } from './store/sqlite.ts';

/** Written as whoever calls; the store itself is its owner's. @throws TetherfsError */
export async function copyBackup(state: string, file: string): Promise<void> {
  ownerOf(state);
  const store = new SqliteStore(storeFile(state));
  try {
    await store.backup(file);
  } finally {
    await store.close();
    keepOwner(state);
  }
}

/** @returns what has become of the store that was there. @throws TetherfsError BACKUP when it is none, or the member runs. */
export async function restoreBackup(state: string, file: string): Promise<string | undefined> {
  check(file);
  const path = storeFile(state);
  if (existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0) {
    throw new TetherfsError(
      'BACKUP',
      `the member of ${state} runs, or did not end by itself: end it ("systemctl stop tetherfs-collective"), start it once and end it if it has crashed`,
    );
  }
  const owner = existsSync(state) ? statSync(state) : { uid: 0, gid: 0 };
  const kept = existsSync(path)
    ? `${path}.before-${new Date().toISOString().slice(0, 19).replace(/:/g, '')}`
    : undefined;
  copyFileSync(file, `${path}.new`);
  if (process.geteuid?.() === 0) chownSync(`${path}.new`, owner.uid, owner.gid);
  if (kept !== undefined) renameSync(path, kept);
  for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true });
  renameSync(`${path}.new`, path);
  return kept;
}

function check(file: string): void {
  try {
    const database = new DatabaseSync(file, { readOnly: true });
    const [row] = database.prepare('PRAGMA integrity_check').all();
    const isOurs =
      database.prepare("SELECT count(*) AS found FROM sqlite_schema WHERE name IN ('entry', 'audit')").get()?.[
        'found'
      ] === 2;
    database.close();
    if (row?.['integrity_check'] !== 'ok' || !isOurs) throw new Error('it is damaged, or no backup of a member');
  } catch (cause) {
    throw new TetherfsError('BACKUP', `${file}: ${describeError(cause)}`, { cause });
  }
}

/** What SQLite makes beside a store belongs to whoever opens it; the server must have it. */
function keepOwner(state: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(state);
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(storeFile(state) + suffix)) chownSync(storeFile(state) + suffix, uid, gid);
  }
}
