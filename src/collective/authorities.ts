/**
 * The authorities of a site in the store: for TLS and for ssh, one of each that signs, and those before it, which nodes go on to believe until they have booted with
 * the new one. Private keys lie there sealed.
 */
import { randomUUID } from 'node:crypto';
import pLimit from 'p-limit';
import { TetherfsError } from '../base/errors.ts';
import type { MasterKey } from './authority/secrets.ts';
import type { SshAuthority, SshKeyPair } from './authority/ssh.ts';
import { type KeyPair, makeTlsAuthority } from './authority/tls.ts';
import { authorityPrefix } from './keys.ts';
import { type Change, change, type Store } from './store/contract.ts';

export type AuthorityKind = 'tls' | 'ssh';

/** In the store. */
interface Kept {
  /** A certificate in PEM; a line of a .pub file. */
  shown: string;
  sealed: string;
  /** ms since 1970. */
  made: number;
  /** Undefined while it signs. */
  retired?: number;
  /** ssh: of the next certificate. */
  serial?: number;
  /** ssh: of certificates that are worth nothing any more. */
  revoked?: number[];
}

export interface Authority {
  id: string;
  shown: string;
  made: number;
  retired?: number | undefined;
  revoked: readonly number[];
}

export interface AuthoritiesParts {
  store: Store;
  masterKey: MasterKey;
  ssh: SshAuthority;
}

export class Authorities {
  readonly #store: Store;
  readonly #masterKey: MasterKey;
  readonly #ssh: SshAuthority;
  /** Many nodes want a serial at once. */
  readonly #inTurn = pLimit(1);

  constructor({ store, masterKey, ssh }: AuthoritiesParts) {
    this.#store = store;
    this.#masterKey = masterKey;
    this.#ssh = ssh;
  }

  /** The one that signs last. */
  async list(kind: AuthorityKind): Promise<Authority[]> {
    const entries = await this.#store.list(authorityPrefix(kind));
    return entries
      .map(({ key, value }) => {
        const { shown, made, retired, revoked = [] } = value as Kept;
        return { id: key.slice(authorityPrefix(kind).length), shown, made, retired, revoked };
      })
      .sort((a, b) => a.made - b.made);
  }

  /** Makes one of each kind where there is none. @returns which. */
  async make(site: string): Promise<AuthorityKind[]> {
    const made: AuthorityKind[] = [];
    for (const kind of ['tls', 'ssh'] as const) {
      if ((await this.list(kind)).length > 0) continue;
      await this.rotate(kind, site);
      made.push(kind);
    }
    return made;
  }

  /** A new one signs from now on. @returns its id. */
  async rotate(kind: AuthorityKind, site: string): Promise<string> {
    const id = randomUUID();
    const key = authorityPrefix(kind) + id;
    const { shown, secret } = await this.#generate(kind, site);
    const value: Kept = { shown, sealed: this.#masterKey.seal(secret, key), made: Date.now() };
    await change(this.#store, async () => {
      const signing = await this.#signing(kind);
      const retire: Change[] = signing
        ? [{ key: signing.key, revision: signing.revision, value: { ...signing.value, retired: Date.now() } }]
        : [];
      return { changes: [...retire, { key, revision: 0, value }], result: undefined };
    });
    return id;
  }

  /** Nodes that boot from now on do not believe it any more. @throws TetherfsError AUTHORITY */
  async remove(kind: AuthorityKind, id: string): Promise<void> {
    const entry = await this.#store.get(authorityPrefix(kind) + id);
    if (entry === undefined)
      throw new TetherfsError(
        'AUTHORITY',
        `there is no ${kind} authority ${id}; "tetherfs collective ca show" lists them`,
      );
    if ((entry.value as Kept).retired === undefined) {
      throw new TetherfsError(
        'AUTHORITY',
        `${id} is the one that signs: "tetherfs collective ca rotate ${kind}" first`,
      );
    }
    await this.#store.transact([{ key: entry.key, revision: entry.revision, value: undefined }]);
  }

  async tls(): Promise<KeyPair> {
    const { key, value } = await this.#insistOnSigning('tls');
    return { certificate: value.shown, key: this.#masterKey.open(value.sealed, key) };
  }

  async ssh(): Promise<SshKeyPair> {
    const { key, value } = await this.#insistOnSigning('ssh');
    return { publicKey: value.shown, privateKey: this.#masterKey.open(value.sealed, key) };
  }

  /** Counted, never given twice. */
  async nextSerial(): Promise<number> {
    return this.#inTurn(() => this.#countSerial());
  }

  #countSerial(): Promise<number> {
    return change(this.#store, async () => {
      const { key, value, revision } = await this.#insistOnSigning('ssh');
      const serial = value.serial ?? 1;
      return { changes: [{ key, revision, value: { ...value, serial: serial + 1 } }], result: serial };
    });
  }

  /** @throws TetherfsError AUTHORITY when no certificate has such a serial. */
  async revoke(serials: readonly number[]): Promise<void> {
    await change(this.#store, async () => {
      const { key, value, revision } = await this.#insistOnSigning('ssh');
      const unknown = serials.find((serial) => serial >= (value.serial ?? 1));
      if (unknown !== undefined) throw new TetherfsError('AUTHORITY', `no certificate has the serial ${unknown}`);
      const revoked = [...new Set([...(value.revoked ?? []), ...serials])].sort((a, b) => a - b);
      return { changes: [{ key, revision, value: { ...value, revoked } }], result: undefined };
    });
  }

  async #generate(kind: AuthorityKind, site: string): Promise<{ shown: string; secret: string }> {
    if (kind === 'tls') {
      const { certificate, key } = await makeTlsAuthority(site);
      return { shown: certificate, secret: key };
    }
    const { publicKey, privateKey } = await this.#ssh.make(`tetherfs ssh authority of ${site}`);
    return { shown: publicKey, secret: privateKey };
  }

  async #signing(kind: AuthorityKind): Promise<{ key: string; value: Kept; revision: number } | undefined> {
    const entries = await this.#store.list(authorityPrefix(kind));
    const found = entries.find(({ value }) => (value as Kept).retired === undefined);
    return found && { key: found.key, value: found.value as Kept, revision: found.revision };
  }

  async #insistOnSigning(kind: AuthorityKind): Promise<{ key: string; value: Kept; revision: number }> {
    const found = await this.#signing(kind);
    if (found === undefined)
      throw new TetherfsError('AUTHORITY', `there is no ${kind} authority: "tetherfs collective run" makes it`);
    return found;
  }
}
