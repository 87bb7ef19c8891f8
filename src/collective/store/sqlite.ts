/**
 * The store of one member: a SQLite file (node:sqlite), WAL, each change on the disk before it is acknowledged. Several processes may have it open: the
 * server, and commands. What is wanted to be on the disk in one turn of the event loop goes there together.
 */
import { chmodSync, closeSync, existsSync, openSync } from 'node:fs';
import { backup, DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { describeError, TetherfsError } from '../../base/errors.ts';
import {
  type AuditEntry,
  type AuditQuery,
  type AuditRecord,
  type Change,
  ConflictError,
  type Entry,
  type Store,
} from './contract.ts';

/** One a version of the file; user_version says how many have been done. */
const migrations = [
  `CREATE TABLE entry (key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
   INSERT INTO counter VALUES ('revision', 0);
   CREATE TABLE audit (number INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, subject TEXT NOT NULL, event TEXT NOT NULL, by TEXT NOT NULL, detail TEXT);
   CREATE INDEX audit_subject ON audit (subject, number);`,
];

/** How long a process waits for another that writes, in ms. */
const busyMs = 10_000;

interface Waiting {
  run: () => unknown;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

/** What is older is forgotten when the store is opened: two years. */
const auditMs = 2 * 366 * 86_400_000;

export class SqliteStore implements Store {
  readonly #database: DatabaseSync;
  #waiting: Waiting[] = [];

  /** Makes it when it is not there, 0600. @throws TetherfsError STORE. */
  constructor(path: string) {
    try {
      // Made before SQLite does, which would let others read it.
      if (!existsSync(path)) closeSync(openSync(path, 'ax', 0o600));
      else chmodSync(path, 0o600);
      this.#database = new DatabaseSync(path, { timeout: busyMs });
      this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF');
      this.#migrate(path);
      this.#database.prepare('DELETE FROM audit WHERE time < ?').run(Date.now() - auditMs);
    } catch (cause) {
      if (cause instanceof TetherfsError) throw cause;
      throw new TetherfsError('STORE', `the store ${path} cannot be opened: ${describeError(cause)}`, { cause });
    }
  }

  async get(key: string): Promise<Entry | undefined> {
    const row = this.#database.prepare('SELECT key, value, revision FROM entry WHERE key = ?').get(key);
    return row && entryOf(row);
  }

  async list(prefix: string): Promise<Entry[]> {
    const rows = this.#database
      .prepare('SELECT key, value, revision FROM entry WHERE key >= ? AND key < ? ORDER BY key')
      .all(prefix, `${prefix}\u{10ffff}`);
    return rows.map(entryOf);
  }

  transact(changes: readonly Change[]): Promise<number> {
    return this.#together(() => {
      const [found] = changes.filter(({ key, revision }) => this.#revisionOf(key) !== revision);
      if (found !== undefined) throw new ConflictError(found.key);
      const next = this.#database
        .prepare("UPDATE counter SET value = value + 1 WHERE name = 'revision' RETURNING value")
        .get();
      const revision = Number(next?.['value']);
      for (const { key, value } of changes) {
        if (value === undefined) this.#database.prepare('DELETE FROM entry WHERE key = ?').run(key);
        else
          this.#database
            .prepare(
              'INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision',
            )
            .run(key, JSON.stringify(value), revision);
      }
      return revision;
    });
  }

  async audit({ subject, event, by, detail }: AuditRecord): Promise<void> {
    const time = Date.now();
    await this.#together(() =>
      this.#database
        .prepare('INSERT INTO audit (time, subject, event, by, detail) VALUES (?, ?, ?, ?, ?)')
        .run(time, subject, event, by, detail ?? null),
    );
  }

  async audited({ subject, event, since, limit }: AuditQuery): Promise<AuditEntry[]> {
    const rows = this.#database
      .prepare(
        `SELECT * FROM audit WHERE (:subject IS NULL OR subject = :subject) AND (:event IS NULL OR event = :event)
         AND time >= :since ORDER BY number DESC LIMIT :limit`,
      )
      .all({ subject: subject ?? null, event: event ?? null, since: since ?? 0, limit });
    return rows.reverse().map((row) => ({
      number: Number(row['number']),
      time: Number(row['time']),
      subject: String(row['subject']),
      event: String(row['event']),
      by: String(row['by']),
      ...(row['detail'] !== null && { detail: String(row['detail']) }),
    }));
  }

  /** A copy of all of it as it is at one moment, while others go on. */
  async backup(path: string): Promise<void> {
    closeSync(openSync(path, 'ax', 0o600));
    await backup(this.#database, path);
  }

  async close(): Promise<void> {
    this.#flush();
    this.#database.close();
  }

  #migrate(path: string): void {
    this.#database.exec('BEGIN IMMEDIATE');
    const done = Number(this.#database.prepare('PRAGMA user_version').get()?.['user_version']);
    if (done > migrations.length) {
      throw new TetherfsError('STORE', `the store ${path} is of a newer version of tetherfs: use that`);
    }
    for (const migration of migrations.slice(done)) this.#database.exec(migration);
    this.#database.exec(`PRAGMA user_version = ${migrations.length}; COMMIT`);
  }

  #revisionOf(key: string): number {
    return Number(this.#database.prepare('SELECT revision FROM entry WHERE key = ?').get(key)?.['revision'] ?? 0);
  }

  /** Each on its own: what one of them refuses leaves the others. */
  #together<T>(run: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ run, resolve: (value) => resolve(value as T), reject });
    });
  }

  #flush(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    if (batch.length === 0) return;
    const answers: (() => void)[] = [];
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      for (const { run, resolve, reject } of batch) {
        this.#database.exec('SAVEPOINT one');
        try {
          const value = run();
          answers.push(() => resolve(value));
        } catch (error) {
          this.#database.exec('ROLLBACK TO one');
          answers.push(() => reject(error));
        }
        this.#database.exec('RELEASE one');
      }
      this.#database.exec('COMMIT');
    } catch (cause) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      const error = new TetherfsError('STORE', `the store cannot be written to: ${describeError(cause)}`, { cause });
      for (const { reject } of batch) reject(error);
      return;
    }
    for (const answer of answers) answer();
  }
}

function entryOf(row: Record<string, SQLOutputValue>): Entry {
  return { key: String(row['key']), value: JSON.parse(String(row['value'])), revision: Number(row['revision']) };
}
