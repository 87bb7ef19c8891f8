/**
 * Copies of the store, and back. The state directory is its user's, who could have put links there: what is done in it is done as that user. What lies elsewhere, the caller has opened before.
 */
import {
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pipeline } from 'node:stream/promises';
import { pathToFileURL } from 'node:url';
import { describeError, TetherfsError } from '../base/errors.ts';
import { become } from './administration.ts';
import { claimState, ownerOf, storeFile } from './places.ts';
import { SqliteStore } from './store/sqlite.ts';

/** @param file does not exist yet; it is whoever's who calls. @throws TetherfsError */
export async function copyBackup(state: string, file: string): Promise<void> {
  const owner = ownerOf(state);
  const output = openSync(file, 'wx', 0o600);
  become(owner);
  const copy = join(state, `backup-${process.pid}.sqlite`);
  try {
    const store = new SqliteStore(storeFile(state));
    try {
      await store.backup(copy);
    } finally {
      await store.close();
    }
    const input = openSync(copy, constants.O_RDONLY | constants.O_NOFOLLOW);
    await copyAll(input, output);
    closeSync(input);
  } finally {
    closeSync(output);
    rmSync(copy, { force: true });
  }
}

/** @returns what has become of the store that was there. @throws TetherfsError BACKUP when it is none, or MEMBER_RUNS. */
export async function restoreBackup(state: string, file: string): Promise<string | undefined> {
  check(file);
  const input = openSync(file, 'r');
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const release = await claimState(state);
  try {
    become(statSync(state));
    const path = storeFile(state);
    const fresh = `${path}.new`;
    rmSync(fresh, { force: true });
    const output = openSync(fresh, 'wx', 0o600);
    await copyAll(input, output);
    closeSync(output);
    const isThere = existsSync(path);
    const kept = `${path}.before-${new Date().toISOString().slice(0, 19).replace(/:/g, '')}`;
    // What a member that was killed has not brought over yet lies beside it.
    for (const suffix of ['', '-wal', '-shm']) if (existsSync(path + suffix)) renameSync(path + suffix, kept + suffix);
    renameSync(fresh, path);
    return isThere ? kept : undefined;
  } finally {
    closeSync(input);
    release();
  }
}

/** Neither is closed. */
function copyAll(input: number, output: number): Promise<void> {
  const [from, to] = [input, output].map((fd) => ({ fd, autoClose: false }));
  return pipeline(createReadStream('', from), createWriteStream('', to));
}

function check(file: string): void {
  try {
    // Nothing is made beside it.
    const database = new DatabaseSync(new URL(`${pathToFileURL(file)}?immutable=1`), { readOnly: true });
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
