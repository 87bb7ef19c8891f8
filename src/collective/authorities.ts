/**
 * The authorities of a site in the store: for TLS and for ssh. Nodes believe all that there are, as their site archive has them; the oldest signs. So a new one is believed by those that boot from
 * then on, and signs once the old one is removed, when all have booted: nobody is ever shown what he cannot believe. Private keys lie there sealed.
 */
import { randomUUID } from 'node:crypto';
import pLimit from 'p-limit';
import { TetherfsError } from '../base/errors.ts';
import type { Sealer } from './authority/secrets.ts';
import type { SshAuthority, SshKeyPair } from './authority/ssh.ts';
import { type KeyPair, makeTlsAuthority } from './authority/tls.ts';
import { authorityPrefix, sshSerialsKey } from './keys.ts';
import { change, type Store } from './store/contract.ts';

export type AuthorityKind = 'tls' | 'ssh';

/** In the store. */
interface Kept {
  /** A certificate in PEM; a line of a .pub file. */
  shown: string;
  sealed: string;
  /** ms since 1970. */
  made: number;
  /** Of one that was rotated when the newest signed: it signs no more. */
  retired?: number;
}

interface Serials {
  next: number;
  revoked: number[];
}

export interface Authority {
  id: string;
  shown: string;
  made: number;
  /** `next` signs when those before it are removed; `believed` never again. */
  state: 'signs' | 'next' | 'believed';
}

export interface AuthoritiesParts {
  store: Store;
  masterKey: Sealer;
  ssh: SshAuthority;
}

export class Authorities {
  readonly #store: Store;
  readonly #masterKey: Sealer;
  readonly #ssh: SshAuthority;
  /** Many nodes want a serial at once. */
  readonly #inTurn = pLimit(1);

  constructor({ store, masterKey, ssh }: AuthoritiesParts) {
    this.#store = store;
    this.#masterKey = masterKey;
    this.#ssh = ssh;
  }

  /** Oldest first. */
  async list(kind: AuthorityKind): Promise<Authority[]> {
    const signing = await this.#signing(kind);
    return (await this.#entries(kind)).map(({ key, value: { shown, made, retired } }) => ({
      id: key.slice(authorityPrefix(kind).length),
      shown,
      made,
      state: key === signing?.key ? 'signs' : retired === undefined ? 'next' : 'believed',
    }));
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

  /** A new one: it is believed by nodes that boot from now on, and signs when those before it are removed. @returns its id. */
  async rotate(kind: AuthorityKind, site: string): Promise<string> {
    const id = randomUUID();
    const key = authorityPrefix(kind) + id;
    const { shown, secret } = await this.#generate(kind, site);
    const value: Kept = { shown, sealed: this.#masterKey.seal(secret, key), made: Date.now() };
    await this.#store.transact([{ key, revision: 0, value }]);
    return id;
  }

  /** Nodes that boot from now on do not believe it any more; if it signed, the next does. @throws TetherfsError AUTHORITY */
  async remove(kind: AuthorityKind, id: string): Promise<void> {
    const entry = await this.#store.get(authorityPrefix(kind) + id);
    if (entry === undefined)
      throw new TetherfsError(
        'AUTHORITY',
        `there is no ${kind} authority ${id}; "tetherfs collective ca show" lists them`,
      );
    const others = (await this.list(kind)).filter((one) => one.id !== id && one.state !== 'believed');
    if (others.length === 0) {
      throw new TetherfsError(
        'AUTHORITY',
        `${id} is the only one that signs: "tetherfs collective ca rotate ${kind}" first, and boot all nodes`,
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

  /** Counted, never given twice, of whichever authority. */
  async nextSerial(): Promise<number> {
    return this.#inTurn(() =>
      change(this.#store, async () => {
        const { revision, value } = await this.#serials();
        const { next, revoked } = value;
        const counted: Serials = { next: next + 1, revoked };
        return { changes: [{ key: sshSerialsKey, revision, value: counted }], result: next };
      }),
    );
  }

  /** @returns all that are revoked. @throws TetherfsError AUTHORITY when no certificate has such a serial. */
  async revoke(serials: readonly number[]): Promise<number[]> {
    return change(this.#store, async () => {
      const { revision, value } = await this.#serials();
      const unknown = serials.find((serial) => serial >= value.next);
      if (unknown !== undefined) throw new TetherfsError('AUTHORITY', `no certificate has the serial ${unknown}`);
      const revoked = [...new Set([...value.revoked, ...serials])].sort((a, b) => a - b);
      const changed: Serials = { ...value, revoked };
      return { changes: [{ key: sshSerialsKey, revision, value: changed }], result: revoked };
    });
  }

  async #serials(): Promise<{ revision: number; value: Serials }> {
    const entry = await this.#store.get(sshSerialsKey);
    if (entry !== undefined) return { revision: entry.revision, value: entry.value as Serials };
    // Each authority counted by itself before.
    const earlier = (await this.#entries('ssh')).map(
      ({ value }) => value as Kept & { serial?: number; revoked?: number[] },
    );
    const next = Math.max(1, ...earlier.map(({ serial = 1 }) => serial));
    return { revision: 0, value: { next, revoked: earlier.flatMap(({ revoked = [] }) => revoked) } };
  }

  async #generate(kind: AuthorityKind, site: string): Promise<{ shown: string; secret: string }> {
    if (kind === 'tls') {
      const { certificate, key } = await makeTlsAuthority(site);
      return { shown: certificate, secret: key };
    }
    const { publicKey, privateKey } = await this.#ssh.make(`tetherfs ssh authority of ${site}`);
    return { shown: publicKey, secret: privateKey };
  }

  /** Oldest first. */
  async #entries(kind: AuthorityKind): Promise<{ key: string; value: Kept }[]> {
    const entries = await this.#store.list(authorityPrefix(kind));
    return entries.map(({ key, value }) => ({ key, value: value as Kept })).sort((a, b) => a.value.made - b.value.made);
  }

  async #signing(kind: AuthorityKind): Promise<{ key: string; value: Kept } | undefined> {
    return (await this.#entries(kind)).find(({ value }) => value.retired === undefined);
  }

  async #insistOnSigning(kind: AuthorityKind): Promise<{ key: string; value: Kept }> {
    const found = await this.#signing(kind);
    if (found === undefined)
      throw new TetherfsError('AUTHORITY', `there is no ${kind} authority: "tetherfs collective run" makes it`);
    return found;
  }
}
