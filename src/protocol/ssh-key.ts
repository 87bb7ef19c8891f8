/** ssh's forms of an ed25519 key and of a certificate for it. PROTOCOL.key, PROTOCOL.certkeys of OpenSSH; RFC 4251, 8709. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { ProtocolError } from './protocol-error.ts';

const keyType = 'ssh-ed25519';
const certificateType = 'ssh-ed25519-cert-v01@openssh.com';
const hostCertificate = 2;
/** Of the secret part, which a cipher would want to be of whole blocks. */
const blockSize = 8;
const seedSize = 32;

export interface SshKeyPair {
  /** The file: PEM with OpenSSH's own form in it. */
  privateKey: string;
  /** A line. */
  publicKey: string;
}

/** A new one. */
export function makeSshKey(comment: string): SshKeyPair {
  const { privateKey } = generateKeyPairSync('ed25519');
  const jwk = privateKey.export({ format: 'jwk' });
  const [seed, point] = [Buffer.from(jwk.d ?? '', 'base64url'), Buffer.from(jwk.x ?? '', 'base64url')];
  if (seed.length !== seedSize) throw new Error('a key of another length');
  const shown = Buffer.concat([field(keyType), field(point)]);
  const check = randomBytes(4);
  const secret = Buffer.concat([
    ...[check, check, field(keyType), field(point), field(Buffer.concat([seed, point])), field(comment)],
  ]);
  const padding = Buffer.from(Array.from({ length: -secret.length & (blockSize - 1) }, (_, index) => index + 1));
  const all = Buffer.concat([
    ...[Buffer.from('openssh-key-v1\0'), field('none'), field('none'), field(''), number(1)],
    ...[field(shown), field(Buffer.concat([secret, padding]))],
  ]);
  const body = all.toString('base64').replace(/.{1,70}/g, '$&\n');
  return {
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${body}-----END OPENSSH PRIVATE KEY-----\n`,
    publicKey: `${keyType} ${shown.toString('base64')} ${comment}`,
  };
}

export interface HostCertificate {
  /** The key that it is for, as it stands in a line. */
  point: Buffer;
  /** The authority's key, as it stands in a line, decoded. */
  authority: Buffer;
  serial: bigint;
  principals: string[];
}

/** @param line of a -cert.pub file. @throws ProtocolError when it is none, or not for a host. */
export function parseHostCertificate(line: string): HostCertificate {
  const [type, text = ''] = line.trim().split(/\s+/);
  const reader = new Reader(Buffer.from(text, 'base64'));
  if (type !== certificateType || reader.field().toString() !== certificateType)
    throw new ProtocolError('it is no certificate of an ed25519 key');
  reader.field();
  const point = reader.field();
  const serial = reader.long();
  if (reader.number() !== hostCertificate) throw new ProtocolError('it is no certificate of a host');
  reader.field();
  const names = new Reader(reader.field());
  const principals: string[] = [];
  while (!names.isAtEnd) principals.push(names.field().toString());
  reader.long();
  reader.long();
  for (const _ of ['critical options', 'extensions', 'reserved']) reader.field();
  return { point, authority: reader.field(), serial, principals };
}

/** @param line of a .pub file. @returns what is encoded in it. */
export function decodedKey(line: string): Buffer {
  return Buffer.from(line.trim().split(/\s+/)[1] ?? '', 'base64');
}

/** @param line of a .pub file of an ed25519 key. @throws ProtocolError */
export function pointOf(line: string): Buffer {
  const reader = new Reader(decodedKey(line));
  if (reader.field().toString() !== keyType) throw new ProtocolError('it is no ed25519 key');
  return reader.field();
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function field(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([number(bytes.length), bytes]);
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  number(): number {
    return this.#take(4).readUInt32BE();
  }

  long(): bigint {
    return this.#take(8).readBigUInt64BE();
  }

  field(): Buffer {
    return this.#take(this.number());
  }

  #take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new ProtocolError('it ends too early');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}
