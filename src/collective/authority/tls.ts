/**
 * The site's TLS authority. Nodes believe it alone, and their clocks lie: it is valid since 1970, and so is what members show: a machine without a battery begins there; a node's own
 * certificate is for some weeks. RFC 5280; P-256.
 */
import 'reflect-metadata';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { TetherfsError } from '../../base/errors.ts';

cryptoProvider.set(globalThis.crypto);

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const begin = new Date('1970-01-01T00:00:00Z');
const end = new Date('2100-01-01T00:00:00Z');
const dayMs = 86_400_000;
/** Of a node whose clock is somewhat behind. */
const leewayMs = dayMs;

/** PEM. */
export interface KeyPair {
  certificate: string;
  key: string;
}

export interface Subject {
  name: string;
  /** DNS names besides. */
  names: readonly string[];
  /** Without zones. */
  addresses: readonly string[];
}

export async function makeTlsAuthority(site: string): Promise<KeyPair> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ CN: [`tetherfs TLS authority of ${site}`] }],
    notBefore: begin,
    notAfter: end,
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: withNewline(certificate.toString('pem')), key: await exportKey(keys.privateKey) };
}

/** A member's, with a key of its own. */
export async function issueForMember(authority: KeyPair, subject: Subject): Promise<KeyPair> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await issue(authority, subject, keys.publicKey, { notBefore: begin, notAfter: end });
  return { certificate, key: await exportKey(keys.privateKey) };
}

/**
 * A node's, for the key of its request; who it is, is not the request's to say.
 * @throws TetherfsError CSR when it is none, or not signed by its own key.
 */
export async function issueForRequest(
  authority: KeyPair,
  request: string,
  subject: Subject,
  days: number,
): Promise<string> {
  let asked: Pkcs10CertificateRequest;
  let isSigned: boolean;
  try {
    asked = new Pkcs10CertificateRequest(request);
    isSigned = await asked.verify();
  } catch (cause) {
    throw new TetherfsError('CSR', 'that is no certificate request in PEM', { cause });
  }
  if (!isSigned) throw new TetherfsError('CSR', 'the request is not signed by its own key');
  const now = Date.now();
  const validity = { notBefore: new Date(now - leewayMs), notAfter: new Date(now + days * dayMs) };
  return issue(authority, subject, await asked.publicKey.export(), validity);
}

async function issue(
  authority: KeyPair,
  { name, names, addresses }: Subject,
  publicKey: CryptoKey,
  validity: { notBefore: Date; notAfter: Date },
): Promise<string> {
  const issuer = new X509Certificate(authority.certificate);
  const all = [...new Set([name, ...names])];
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
    new SubjectAlternativeNameExtension([
      ...all.map((value) => ({ type: 'dns' as const, value })),
      // Some clients look for an address among the names.
      ...addresses.flatMap((value) => [
        { type: 'ip' as const, value },
        ...(isIP(value) === 4 ? [{ type: 'dns' as const, value }] : []),
      ]),
    ]),
    await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
  ];
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: [{ CN: [name] }],
    issuer: issuer.subject,
    ...validity,
    signingKey: await importKey(authority.key),
    publicKey,
    signingAlgorithm: algorithm,
    extensions,
  });
  return withNewline(certificate.toString('pem'));
}

/** 126 random bits, as a positive number. */
function serial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

async function exportKey(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key));
  const lines = der.toString('base64').replace(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN PRIVATE KEY-----\n${lines}\n-----END PRIVATE KEY-----\n`;
}

function importKey(pem: string): Promise<CryptoKey> {
  const der = Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
  return crypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}

function withNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
