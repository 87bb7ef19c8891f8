/** What can go wrong while making and examining images, as errors that a user can act on. */
import { TetherfsError } from '../base/errors.ts';
import { ImageFormatError } from '../image/errors.ts';

/** An image could not be made. Nothing was changed. */
export class PackError extends TetherfsError {
  constructor(message: string, options?: ErrorOptions) {
    super('PACK', message, options);
  }
}

/** An image could not be unpacked. Nothing was changed. */
export class UnpackError extends TetherfsError {
  constructor(message: string, options?: ErrorOptions) {
    super('UNPACK', message, options);
  }
}

/** A tree could not be built. Nothing was left of it. */
export class BuildError extends TetherfsError {
  constructor(message: string, options?: ErrorOptions) {
    super('BUILD', message, options);
  }
}

/** A tree's own tool could not make its initramfs. */
export class InitramfsError extends TetherfsError {
  constructor(message: string, options?: ErrorOptions) {
    super('INITRAMFS', message, options);
  }
}

/** A machine could not be captured. There and here all is as it was. */
export class CaptureError extends TetherfsError {
  constructor(message: string, options?: ErrorOptions) {
    super('CAPTURE', message, options);
  }
}

/** A command could not be run in a tree. */
export class ExecError extends TetherfsError {
  constructor(message: string, options?: ErrorOptions) {
    super('EXEC', message, options);
  }
}

/** Two trees could not be compared. */
export class DiffError extends TetherfsError {
  constructor(message: string, options?: ErrorOptions) {
    super('DIFF', message, options);
  }
}

/** An image, a sidecar or a key file cannot be read where it was said to be. */
export class ImageSourceError extends TetherfsError {
  /** The server has no such file, and is well otherwise. */
  readonly missing: boolean;

  constructor(message: string, options: ErrorOptions & { missing?: boolean } = {}) {
    super('IMAGE_SOURCE', message, options);
    this.missing = options.missing ?? false;
  }
}

/** An image is encrypted, and no key is known that might open it. */
export class KeyMissingError extends ImageFormatError {
  constructor() {
    super('its key is not there');
  }
}

/** Blocks of an image are not what its digest says. */
export class WrongBlocksError extends TetherfsError {
  readonly blocks: number;

  constructor(location: string, blocks: number) {
    super(
      'WRONG_BLOCKS',
      `${location}: ${blocks === 1 ? 'one block is' : `${blocks} blocks are`} wrong: copy or pack the image again`,
    );
    this.blocks = blocks;
  }
}

/** Without a sidecar only the whole can be compared. */
export class WrongImageError extends TetherfsError {
  constructor(wanted: string, found: string, blockSize: number) {
    super(
      'DIGEST_MISMATCH',
      `the image has digest ${found} in blocks of ${blockSize} bytes, wanted is ${wanted}: it is damaged, another image, or was packed with another --block-size`,
    );
  }
}

/** Images that nobody holds cannot be removed. */
export class GcError extends TetherfsError {
  constructor(failures: readonly string[]) {
    super('GC', `cannot remove what nobody holds: ${failures.join('; ')}`);
  }
}

/** Nothing was removed, because it is not certain which images are in use. */
export class GcDoubtError extends TetherfsError {
  constructor(doubts: readonly string[]) {
    super('GC_DOUBT', `nothing was removed: ${doubts.join('; ')}`);
  }
}
