/**
 * The authorities of the site, for whatever asks the image's own store: as distributions have it, a file among those that administrators have added, from which their tool makes the store anew, and the
 * store itself, which that tool would take seconds to make.
 */
import type { SiteTrust } from '../trust.ts';
import type { RootTree } from './root-tree.ts';

interface CertificateStore {
  /** All certificates in one file. */
  bundle: string;
  added: string;
  ending: string;
  /** Where OpenSSL looks by hashes. */
  hashed?: string;
}

const stores: readonly CertificateStore[] = [
  // Debian, Ubuntu: update-ca-certificates(8).
  {
    bundle: '/etc/ssl/certs/ca-certificates.crt',
    added: '/usr/local/share/ca-certificates',
    ending: '.crt',
    hashed: '/etc/ssl/certs',
  },
  // Red Hat's: update-ca-trust(8).
  {
    bundle: '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
    added: '/etc/pki/ca-trust/source/anchors',
    ending: '.pem',
  },
  // SUSE.
  { bundle: '/var/lib/ca-certificates/ca-bundle.pem', added: '/etc/pki/trust/anchors', ending: '.pem' },
];

/** Nothing where the image has no store. */
export async function addToStore(tree: RootTree, { tls, tlsHashes }: SiteTrust): Promise<void> {
  for (const { bundle, added, ending, hashed } of stores) {
    const before = await tree.read(bundle);
    if (before === undefined) continue;
    const fileOf = (index: number) => `${added}/tetherfs-site${index === 0 ? '' : `-${index + 1}`}${ending}`;
    for (const [index, pem] of tls.entries()) await tree.write(fileOf(index), `${pem}\n`, { mode: 0o644 });
    const missing = tls.filter((pem) => !before.includes(pem));
    if (missing.length > 0) await tree.write(bundle, [before.trimEnd(), ...missing, ''].join('\n'));
    for (const [name, pem] of hashed === undefined ? [] : tlsHashes) {
      const index = tls.indexOf(pem);
      if (index >= 0 && !(await tree.has(`${hashed}/${name}`))) await tree.link(`${hashed}/${name}`, fileOf(index));
    }
    return;
  }
}
