/** What can be wrong with an image, its key file or its digest, as errors that a user can act on. */
import { TetherfsError, UsageError } from '../base/errors.ts';

/** A header, superblock or partition list is damaged, truncated or of a version that tetherfs does not know. */
export class ImageFormatError extends TetherfsError {
  constructor(message: string, options?: ErrorOptions) {
    super('IMAGE_FORMAT', message, options);
  }
}

/** A key file cannot be used. The message never holds anything that was read from it. */
export class KeyFileError extends TetherfsError {
  constructor(message: string, options?: ErrorOptions) {
    super('KEY_FILE', message, options);
  }
}

/** Text that should be a digest is none. */
export class DigestSyntaxError extends UsageError {
  constructor(text: string) {
    super(
      `${JSON.stringify(text.slice(0, 80))} is no digest: write sha256: and 64 hexadecimal digits, as "tetherfs image info" prints it`,
    );
  }
}

/** An fs-verity sidecar is damaged, hostile, or of a kind that tetherfs does not use. */
export class SidecarError extends TetherfsError {
  constructor(message: string, options?: ErrorOptions) {
    super('SIDECAR_INVALID', `fs-verity sidecar: ${message}`, options);
  }
}

/** A trace file is damaged, hostile, or of another image. `line` is counted from 1. */
export class TraceError extends TetherfsError {
  constructor(line: number, message: string) {
    super('TRACE_INVALID', `trace, line ${line}: ${message}`);
  }
}

/** An image or its sidecar is sound in itself but is not the one that the digest names. */
export class DigestMismatchError extends TetherfsError {
  readonly wanted: string;
  readonly found: string;

  constructor(what: string, wanted: string, found: string) {
    super('DIGEST_MISMATCH', `${what} has digest ${found}, wanted is ${wanted}: it belongs to another image`);
    this.wanted = wanted;
    this.found = found;
  }
}

/** A list of what a boot reads is none. `line` is counted from 1. */
export class BootOrderError extends UsageError {
  constructor(line: number, message: string) {
    super(`boot order, line ${line}: ${message}`);
  }
}
