/**
 * The name of an image's bytes: the SHA-256 fs-verity digest of the file as served. Two images with one digest are the same
 * bytes. Written `sha256:` and 64 lower-case hexadecimal digits, as Debian's `fsverity digest` prints it.
 */
import { DigestSyntaxError } from './errors.ts';

export type ImageDigest = string & { readonly kind: 'fs-verity sha256' };

/** The 64 hexadecimal digits, as names of files hold them (base/digest-name.ts). */
export function hexOf(digest: ImageDigest): string {
  return digest.slice('sha256:'.length);
}

/** Accepts `sha256:HEX` and bare hex, in either case. @throws DigestSyntaxError */
export function parseDigest(text: string): ImageDigest {
  const hex = /^(?:sha256:)?([0-9a-f]{64})$/.exec(text.trim().toLowerCase())?.[1];
  if (hex === undefined) throw new DigestSyntaxError(text);
  return `sha256:${hex}` as ImageDigest;
}
