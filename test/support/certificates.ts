/**
 * A certificate authority of our own and servers' certificates from it, made by openssl: what a site's members have.
 * `openssl ca`, because OpenSSL 3.0 can set the first and last day of a certificate in no other command.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';

export interface ServerCertificate {
  certificateFile: string;
  keyFile: string;
}

export interface Validity {
  notBefore?: Date;
  notAfter?: Date;
}

export interface CertificateAuthority {
  /** PEM file and its text, for `--ca-file` and clients. */
  readonly file: string;
  readonly pem: string;
  /** @param names DNS names and IP addresses the certificate is for; the first also names its files. */
  issue(names: readonly string[], validity?: Validity): ServerCertificate;
}

const oneDayMs = 86_400_000;

/** @param directory where keys and certificates are written; made if absent. */
export function makeCertificateAuthority(directory: string): CertificateAuthority {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, 'ca.pem');
  const keyFile = join(directory, 'ca.key');
  newKey(keyFile);
  openssl('req', '-x509', '-new', '-key', keyFile, '-subj', '/CN=tetherfs test CA', '-days', '2', '-out', file);
  writeFileSync(join(directory, 'index.txt'), '');
  let issued = 0;

  function issue(names: readonly string[], validity: Validity = {}): ServerCertificate {
    const [firstName = 'server'] = names;
    const { notBefore = new Date(Date.now() - oneDayMs), notAfter = new Date(Date.now() + oneDayMs) } = validity;
    const stem = join(directory, `${++issued}-${firstName}`);
    const server = { certificateFile: `${stem}.pem`, keyFile: `${stem}.key` };
    newKey(server.keyFile);
    openssl('req', '-new', '-key', server.keyFile, '-subj', `/CN=${firstName}`, '-out', `${stem}.csr`);
    writeFileSync(`${stem}.cnf`, authorityConfig(directory, names));
    openssl(
      ...['ca', '-batch', '-notext', '-rand_serial', '-config', `${stem}.cnf`, '-cert', file, '-keyfile', keyFile],
      ...['-startdate', asn1Time(notBefore), '-enddate', asn1Time(notAfter)],
      ...['-in', `${stem}.csr`, '-out', server.certificateFile],
    );
    return server;
  }

  return { file, pem: readFileSync(file, 'utf8'), issue };
}

function authorityConfig(directory: string, names: readonly string[]): string {
  const alternatives = names.map((name) => `${isIP(name) === 0 ? 'DNS' : 'IP'}:${name}`).join(',');
  return `
[ca]
default_ca = authority
[authority]
database = ${join(directory, 'index.txt')}
serial = ${join(directory, 'serial')}
new_certs_dir = ${directory}
default_md = sha256
policy = any_name
unique_subject = no
x509_extensions = server
[any_name]
commonName = supplied
[server]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = ${alternatives}
`;
}

function newKey(file: string): void {
  openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', file);
}

/** `YYYYMMDDHHMMSSZ`, in UTC. */
function asn1Time(date: Date): string {
  return `${date.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`;
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
}
