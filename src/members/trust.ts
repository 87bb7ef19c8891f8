/**
 * Whose signature on a member's certificate is believed: the CAs given, or the system's.
 */
import { readFileSync } from 'node:fs';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { UsageError } from '../base/errors.ts';

/** Where distributions keep all CAs in one file: Debian, Red Hat, SUSE, Alpine. */
const bundleFiles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** One context for all members: parsing a system's hundred-odd CAs takes tens of ms. @throws UsageError for CAs that are none. */
export function createTrust(ca: readonly string[] | undefined): SecureContext {
  try {
    return createSecureContext({ ca: ca === undefined ? systemCas() : [...ca], minVersion: 'TLSv1.2' });
  } catch (cause) {
    throw new UsageError('the CA file holds no PEM certificates', { cause });
  }
}

function systemCas(): string[] {
  const system = getCACertificates('system');
  if (system.length > 0) return system;
  for (const file of bundleFiles) {
    try {
      return [readFileSync(file, 'utf8')];
    } catch {
      // the next distribution's place
    }
  }
  return [];
}
