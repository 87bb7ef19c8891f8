/** The TLS certificate by which the member shows itself: for all its names and addresses, issued anew when these change, or the authority. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Authorities } from './authorities.ts';
import { issueForMember, type KeyPair } from './authority/tls.ts';
import type { LocalInterfaces } from './local-interfaces.ts';
import { memberCertificate } from './places.ts';

export interface MemberNames {
  member: string;
  /** Besides: what its web server or balancer is called. */
  names: readonly string[];
}

export interface MemberCertificateParts {
  authorities: Authorities;
  interfaces: LocalInterfaces;
  state: string;
  names: MemberNames;
}

export class MemberCertificate {
  readonly #parts: MemberCertificateParts;
  /** What it was issued for. */
  #for = '';

  constructor(parts: MemberCertificateParts) {
    this.#parts = parts;
  }

  /** @returns what is to be shown from now on; undefined when nothing has changed. */
  async renew(): Promise<KeyPair | undefined> {
    const { authorities, interfaces, state, names } = this.#parts;
    const authority = await authorities.tls();
    const addresses = [...new Set([...interfaces.ownAddresses(), '127.0.0.1', '::1'])].sort();
    const all = [...new Set([hostname(), 'localhost', ...names.names])];
    const issuedFor = createHash('sha256')
      .update(JSON.stringify([authority.certificate, names.member, all, addresses]))
      .digest('hex');
    if (issuedFor === this.#for) return undefined;
    const { certificate, key } = memberCertificate(state);
    const note = `${certificate}.for`;
    this.#for = issuedFor;
    if (existsSync(note) && readFileSync(note, 'latin1') === issuedFor) {
      return { certificate: readFileSync(certificate, 'latin1'), key: readFileSync(key, 'latin1') };
    }
    const made = await issueForMember(authority, { name: names.member, names: all, addresses });
    for (const [path, text, mode] of [
      [key, made.key, 0o600],
      [certificate, made.certificate, 0o644],
      [note, issuedFor, 0o644],
    ] as const) {
      writeFileSync(`${path}.new`, text, { mode });
      renameSync(`${path}.new`, path);
    }
    return made;
  }
}
