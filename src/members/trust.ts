/**
 * Whose signature on a member's certificate is believed: the CAs given, or the system's.
 */
import { X509Certificate } from 'node:crypto';
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

const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** One context for all members: parsing a system's hundred-odd CAs takes tens of ms. @throws UsageError for CAs that are none. */
export function createTrust(ca: readonly string[] | undefined): SecureContext {
  return createSecureContext({ ca: ca === undefined ? systemCas() : ca.flatMap(parseCas), minVersion: 'TLSv1.2' });
}

/** OpenSSL passes over what it cannot read; then every member would look untrustworthy, and nothing would say why. */
function parseCas(pem: string): string[] {
  const certificates = pem.match(pemCertificate) ?? [];
  if (certificates.length === 0) throw new UsageError('the CA file holds no PEM certificates');
  try {
    return certificates.map((certificate) => new X509Certificate(certificate).toString());
  } catch (cause) {
    throw new UsageError('the CA file holds a certificate that cannot be read', { cause });
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
