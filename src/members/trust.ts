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
export function createTrust(ca: readonly string[] = systemCas()): SecureContext {
  // What is named is trusted, be it an intermediate authority or the server's own certificate, as curl has it.
  return createSecureContext({
    ca: ca.flatMap((pem) => parseCas(pem)),
    minVersion: 'TLSv1.2',
    allowPartialTrustChain: true,
  });
}

/**
 * OpenSSL passes over what it cannot read; then every member would look untrustworthy, and nothing would say why.
 * @param where the text comes from. @throws UsageError
 */
export function parseCas(pem: string, where = '--ca-file'): string[] {
  if (pem.includes('BEGIN TRUSTED CERTIFICATE'))
    throw new UsageError(
      `${where}: it holds a certificate in OpenSSL's own form (BEGIN TRUSTED CERTIFICATE): openssl x509 -in FILE makes the usual one of it`,
    );
  const certificates = pem.match(pemCertificate) ?? [];
  if (certificates.length === 0)
    throw new UsageError(
      `${where}: it holds no certificate in PEM (BEGIN CERTIFICATE): openssl x509 -in FILE makes one of other forms, with -inform der of DER`,
    );
  try {
    return certificates.map((certificate) => new X509Certificate(certificate).toString());
  } catch (cause) {
    throw new UsageError(`${where}: it holds a certificate that cannot be read`, { cause });
  }
}

/** The system's CAs, as they are now, PEM. A successor cannot read them again: its root may stand on the mount. Those that cannot be read are left out. */
export function systemCas(): string[] {
  const system = getCACertificates('system');
  return system.length > 0 ? system : bundled().filter(isReadable);
}

function bundled(): string[] {
  for (const file of bundleFiles) {
    try {
      return readFileSync(file, 'utf8').match(pemCertificate) ?? [];
    } catch {
      // the next distribution's place
    }
  }
  return [];
}

function isReadable(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}
