/** What an initramfs has of its site: the site archive that its members write (src/collective/site-archive.ts), in upstream's form. Whom to believe stands there and nowhere else. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCode } from '../base/errors.ts';
import { readIfThere } from './small-files.ts';

export interface SiteTrust {
  /** Of the site: members of another do not answer. */
  readonly uuid: string | undefined;
  /** TLS authorities, in PEM. */
  readonly tls: readonly string[];
  /** By the names that OpenSSL looks for them by. */
  readonly tlsHashes: ReadonlyMap<string, string>;
  /** Public keys of authorities for ssh host keys, a line each. */
  readonly sshAuthorities: readonly string[];
  /** Public keys of whoever may log in as root: people's, and the members' own. */
  readonly rootKeys: readonly string[];
}

/** @param root where the archive was unpacked. */
export function readTrust(root = '/'): SiteTrust {
  const files = (directory: string, ending: RegExp) =>
    namesIn(join(root, directory))
      .filter((name) => ending.test(name))
      .sort()
      .map((name) => [name, readFileSync(join(root, directory, name), 'utf8').trim()] as const);
  const texts = (directory: string, ending: RegExp) => files(directory, ending).map(([, text]) => text);
  return {
    uuid: readIfThere(join(root, 'confluent_uuid'))?.trim(),
    tls: texts('tls', /\.pem$/),
    tlsHashes: new Map(files('tls', /^[0-9a-f]{8}\.\d+$/)),
    sshAuthorities: texts('ssh', /\.ca$/),
    rootKeys: texts('ssh', /\.(root|automation)pubkey$/).flatMap((text) => text.split('\n')),
  };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}
