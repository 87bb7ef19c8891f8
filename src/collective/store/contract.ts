/**
 * What a member keeps, as a table of keys: nodes, their keys and armings, authorities. Written for one member on SQLite (sqlite.ts) and for several on etcd
 * alike: a change names the revisions that it was decided by, and is made whole or not at all.
 */
import { TetherfsError } from '../../base/errors.ts';

/** `node/n1`: words with slashes between. */
export type Key = string;

export interface Entry {
  key: Key;
  /** JSON. */
  value: unknown;
  /** Of its last change; larger than that of any change before it. */
  revision: number;
}

export interface Change {
  key: Key;
  /** That the entry had when it was read; 0: there was none. Anything else by now, and nothing of the transaction is done. */
  revision: number;
  /** What it is to be; undefined removes it. */
  value: unknown;
}

/** Who did or got what. */
export interface AuditRecord {
  /** What it is about: a node, an authority, this member. */
  subject: string;
  /** `key`, `host-certificate`, `armed`, …: docs/collective.md lists them. */
  event: string;
  /** Address, or user of the command line. */
  by: string;
  /** Never a secret. */
  detail?: string;
}

export interface AuditEntry extends AuditRecord {
  number: number;
  /** ms since 1970. */
  time: number;
}

export interface AuditQuery {
  subject?: string | undefined;
  event?: string | undefined;
  /** ms since 1970. */
  since?: number | undefined;
  /** The newest so many. */
  limit: number;
}

export interface Store {
  /** Undefined when there is none. */
  get(key: Key): Promise<Entry | undefined>;
  /** All whose key begins with that, by key. */
  list(prefix: string): Promise<Entry[]>;
  /**
   * Makes all changes, or none. On the disk when it resolves. @returns the revision that all of them have now.
   * @throws ConflictError when an entry is not as it was.
   */
  transact(changes: readonly Change[]): Promise<number>;
  /** On the disk when it resolves. */
  audit(record: AuditRecord): Promise<void>;
  audited(query: AuditQuery): Promise<AuditEntry[]>;
  close(): Promise<void>;
}

/** Somebody else has changed it meanwhile: read again, decide again. */
export class ConflictError extends TetherfsError {
  constructor(key: Key) {
    super('CONFLICT', `${key} has been changed by somebody else meanwhile: try again`);
  }
}

/** How often a change is decided anew when others were quicker. */
const mostTries = 20;

/** Decides by what it reads, until nobody has been quicker. @throws what `decide` throws; ConflictError after twenty tries. */
export async function change<T>(store: Store, decide: () => Promise<{ changes: Change[]; result: T }>): Promise<T> {
  for (let tries = 1; ; tries++) {
    const { changes, result } = await decide();
    if (changes.length === 0) return result;
    try {
      await store.transact(changes);
      return result;
    } catch (error) {
      if (!(error instanceof ConflictError) || tries === mostTries) throw error;
    }
  }
}
