/**
 * Secrets of the store (private keys of authorities, tokens) lie there sealed by a master key, which lies elsewhere: a credential of systemd's, or a file of
 * mode 0600 in the state directory. A backup of the store alone gives away nothing; without the master key it is worth nothing. AES-256-GCM, bound to the place.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeError, TetherfsError } from '../../base/errors.ts';

const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const version = 'v1:';
/** Its name in $CREDENTIALS_DIRECTORY (systemd.exec(5), LoadCredential=), and in the state directory. */
const credential = 'tetherfs-master-key';
const fileName = 'master.key';

export class MasterKey {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** @param place what it is of, and where it belongs: opened elsewhere, it is refused. */
  seal(secret: string, place: string): string {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(place));
    const sealed = Buffer.concat([nonce, cipher.update(secret, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return version + sealed.toString('base64');
  }

  /** @throws TetherfsError MASTER_KEY when it is another's, or has been altered. */
  open(sealed: string, place: string): string {
    const bytes = Buffer.from(sealed.startsWith(version) ? sealed.slice(version.length) : '', 'base64');
    try {
      const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, nonceBytes))
        .setAAD(Buffer.from(place))
        .setAuthTag(bytes.subarray(-tagBytes));
      return Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]).toString('utf8');
    } catch (cause) {
      throw new TetherfsError(
        'MASTER_KEY',
        `${place} was sealed by another master key than this: give the one of its backup`,
        {
          cause,
        },
      );
    }
  }
}

/** Where the master key is kept. */
export function masterKeyFile(state: string): string {
  const { CREDENTIALS_DIRECTORY: credentials } = process.env;
  const given = credentials === undefined ? undefined : join(credentials, credential);
  return given !== undefined && existsSync(given) ? given : join(state, fileName);
}

/** Whether it is a credential of systemd's. */
export function isMasterKeyGiven(state: string): boolean {
  return masterKeyFile(state) !== join(state, fileName);
}

/** What seals and opens secrets of the store. */
export type Sealer = Pick<MasterKey, 'seal' | 'open'>;

/** @param isNew makes one where there is none: nothing has been sealed yet. @throws TetherfsError MASTER_KEY. */
export function loadMasterKey(state: string, isNew: boolean): MasterKey {
  const path = masterKeyFile(state);
  if (!existsSync(path)) {
    if (!isNew) {
      throw new TetherfsError(
        'MASTER_KEY',
        `the master key ${path} is missing: restore it from its backup; without it, keys of authorities are lost (where it is a credential of systemd's, run this by systemd-run with that: docs/collective.md)`,
      );
    }
    writeFileSync(path, `${randomBytes(keyBytes).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
  }
  let text: string;
  try {
    // systemd gives a credential by an ACL, which shows as a right of the group.
    const others = isMasterKeyGiven(state) ? 0o007 : 0o077;
    if ((statSync(path).mode & others) !== 0) {
      throw new TetherfsError('MASTER_KEY', `the master key ${path} can be read by others: chmod 600 it`);
    }
    text = readFileSync(path, 'latin1').trim();
  } catch (cause) {
    if (cause instanceof TetherfsError) throw cause;
    throw new TetherfsError('MASTER_KEY', `the master key ${path}: ${describeError(cause)}`, { cause });
  }
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new TetherfsError('MASTER_KEY', `the master key ${path} is not 64 hexadecimal digits`);
  return new MasterKey(Buffer.from(text, 'hex'));
}
