/**
 * The site's ssh authority: it signs the host keys that a node makes at each boot, so that people who trust the authority need not know the node. By ssh-keygen, which
 * reads keys from files alone: these lie for that moment in a directory of the server's own.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TetherfsError } from '../../base/errors.ts';
import type { RunTool } from '../tools.ts';

/** As ssh-keygen writes them. */
export interface SshKeyPair {
  publicKey: string;
  privateKey: string;
}

export interface HostCertificate {
  /** The node: the certificate's identity. */
  node: string;
  /** What it may be called: names and addresses. */
  principals: readonly string[];
  serial: number;
  /** Days until it ends; undefined: never. */
  days?: number | undefined;
}

const package_ = { package: 'openssh-client' };
/** A public key as it stands in a .pub file, of a kind that signs hosts. */
const publicKeyLine =
  /^(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/=]{16,4096}(?: [\x21-\x7e ]{0,200})?$/;

export interface SshAuthorityParts {
  run: RunTool;
  /** A directory that nobody else can enter, in memory (/run). */
  scratch: string;
}

export class SshAuthority {
  readonly #run: RunTool;
  readonly #scratch: string;

  constructor({ run, scratch }: SshAuthorityParts) {
    this.#run = run;
    this.#scratch = scratch;
  }

  async make(comment: string): Promise<SshKeyPair> {
    return this.#inScratch(async (directory) => {
      const file = join(directory, 'key');
      await this.#run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', file], package_);
      return { publicKey: readFileSync(`${file}.pub`, 'utf8'), privateKey: readFileSync(file, 'utf8') };
    });
  }

  /** @returns the certificate's line. @throws TetherfsError HOST_KEY when it is no public key that can be signed. */
  async sign(
    authority: SshKeyPair,
    publicKey: string,
    { node, principals, serial, days }: HostCertificate,
  ): Promise<string> {
    const line = publicKey.trim();
    if (!publicKeyLine.test(line)) throw new TetherfsError('HOST_KEY', 'that is no public ssh key of a host');
    return this.#inScratch(async (directory) => {
      const [key, host] = [join(directory, 'ca'), join(directory, 'host')];
      writeFileSync(key, authority.privateKey, { mode: 0o600 });
      writeFileSync(`${host}.pub`, `${line}\n`);
      // From a day ago: the node's clock may be behind ours.
      const validity = days === undefined ? [] : ['-V', `-1d:+${days}d`];
      const words = ['-q', '-h', '-s', key, '-I', node, '-n', principals.join(','), '-z', String(serial), ...validity];
      try {
        await this.#run('ssh-keygen', [...words, `${host}.pub`], package_);
      } catch (cause) {
        if (cause instanceof TetherfsError && cause.code === 'PROGRAM') {
          throw new TetherfsError('HOST_KEY', 'ssh-keygen does not sign that key', { cause });
        }
        throw cause;
      }
      return readFileSync(`${host}-cert.pub`, 'utf8');
    });
  }

  /** A list of revoked certificates (KRL), for sshd and ssh. @param authorities lines of .pub files: a serial is worth nothing under any of them. */
  async revocationList(authorities: readonly string[], serials: readonly number[], version: number): Promise<Buffer> {
    return this.#inScratch(async (directory) => {
      const [key, what, list] = [join(directory, 'ca.pub'), join(directory, 'serials'), join(directory, 'krl')];
      writeFileSync(what, serials.map((serial) => `serial: ${serial}\n`).join(''));
      for (const [index, authority] of authorities.entries()) {
        writeFileSync(key, authority);
        const update = index === 0 ? [] : ['-u'];
        const words = ['-q', '-k', ...update, '-f', list, '-s', key, '-z', String(version), what];
        await this.#run('ssh-keygen', words, package_);
      }
      return readFileSync(list);
    });
  }

  async #inScratch<T>(use: (directory: string) => Promise<T>): Promise<T> {
    const directory = mkdtempSync(join(this.#scratch, 'ssh-'));
    try {
      return await use(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}
