/**
 * From options to an image that can be mounted: the members are reached, the image is identified, its hash tree is verified against
 * the digest, its format and key are known to fit each other.
 */
import type { ByteRange } from '../base/byte-range.ts';
import { TetherfsError, UsageError } from '../base/errors.ts';
import { type FileUrl, parseFileUrl } from '../base/file-url.ts';
import { readGivenFile } from '../base/given-file.ts';
import type { Log } from '../base/log.ts';
import { systemTime } from '../base/time-source.ts';
import { hexOf, parseDigest } from '../image/digest.ts';
import { ImageFormatError, KeyFileError } from '../image/errors.ts';
import { examineImage } from '../image/examine.ts';
import { ImageGeometry } from '../image/geometry.ts';
import { encryptedPayloadSize, headerSize, imageLayout, sectorSize } from '../image/header.ts';
import { parseKeyFile } from '../image/key-file.ts';
import { type Verity, verifySidecar } from '../image/sidecar.ts';
import { squashfsMetadata } from '../image/squashfs.ts';
import { treeSidecar, usualChunkSize, verificationBy } from '../image/tree-sidecar.ts';
import type { Collective } from '../members/contract.ts';
import {
  authoritiesFor,
  type ImageIdentity,
  type OutagePolicy,
  openCollective,
  resumeCollective,
} from '../members/index.ts';
import { loadBinding } from '../native/binding.ts';
import type { Inheritance } from './inheritance.ts';
import type { MountOptions } from './options.ts';

export interface OpenedImage {
  collective: Collective;
  geometry: ImageGeometry;
  /** Name of the one file in the mount. */
  fileName: string;
  /** Bytes of the file shown. */
  fileSize: number;
  /** Seconds since 1970. */
  mtime: number;
  encrypted: boolean;
  /** Bytes of the header that the file shown does not have; 0 unless decrypting. */
  hiddenBytes: number;
  /** To be wiped as soon as native has it. */
  xtsKey: Uint8Array | undefined;
  /** Present when bytes are verified. */
  tree: Verity | undefined;
  digest: string | undefined;
  /** The file that the tree came in; to be let go as soon as it is kept for a successor. */
  sidecar: Uint8Array | undefined;
  /** Where the metadata of the squashfs lie in it; empty when it cannot be looked into, or holds none. */
  metadata: readonly ByteRange[];
  /** First and last bytes as served. */
  head: Uint8Array;
  tail: Uint8Array;
  /** PEM certificates of the authorities, as they were when it was opened; undefined when none are needed. */
  ca: string[] | undefined;
}

/** @throws TetherfsError when options, members, tree, key and image do not go together. Leaves no connection then. */
export async function openImage(options: MountOptions, log: Log): Promise<OpenedImage> {
  const urls = options.urls.map(parseFileUrl);
  const { fileName } = parseFileUrl(options.urls[0]);
  const digest = options.digest === undefined ? undefined : parseDigest(options.digest);
  if (digest === undefined) insistOnTrust(urls, options, log);
  // Read once: what a successor could read again may be another file, or lie on the mount itself.
  const ca = authoritiesFor(urls, options);
  const xtsKey =
    options.keyFile === undefined
      ? undefined
      : parseKeyFile(readGivenFile(options.keyFile, '--key-file'), options.keyFile);

  let tree: Verity | undefined;
  let sidecar: Uint8Array | undefined;
  const { collective, identity } = await openCollective({
    urls,
    digest: digest && hexOf(digest),
    ca,
    log,
    time: systemTime,
    mountTimeoutMs: options.mountTimeout === 0 ? undefined : options.mountTimeout * 1000,
    onOutage: outagePolicy(options),
    examine: (head, size, type) => examineWithKey(head, size, type, xtsKey),
    ...(digest !== undefined && {
      sidecar: treeSidecar(digest, (verified, bytes) => {
        tree = verified;
        sidecar = bytes;
      }),
    }),
  });
  try {
    // Whoever gave a digest may have given that of half an image.
    examineImage(identity.head, identity.imageSize, undefined);
    const { format, hiddenBytes } = imageLayout(identity.head);
    if (xtsKey !== undefined && format !== 'encrypted') {
      throw new TetherfsError('NOT_ENCRYPTED', `${fileName} is not encrypted; leave --key-file out`);
    }
    const shownHead = xtsKey === undefined ? identity.head : decryptedHead(identity.head, xtsKey);
    const fileSize = xtsKey === undefined ? identity.imageSize : encryptedPayloadSize(identity.imageSize);
    if (xtsKey !== undefined) insistOnKey(shownHead, fileSize);
    const shownAt = xtsKey === undefined ? 0 : hiddenBytes;
    return {
      collective,
      geometry: new ImageGeometry(identity.imageSize, Math.max(usualChunkSize, tree?.blockSize ?? 0)),
      fileName,
      fileSize,
      mtime: mtimeOf(identity),
      encrypted: format === 'encrypted',
      hiddenBytes: shownAt,
      xtsKey,
      tree,
      digest,
      sidecar,
      metadata: metadataAt(shownAt, shownHead, fileSize),
      head: identity.head,
      tail: identity.tail,
      ca,
    };
  } catch (error) {
    await collective.close();
    if (error instanceof ImageFormatError)
      throw new ImageFormatError(`${fileName}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** The same of a daemon before us. Waits for nobody. @throws TetherfsError when what it left does not agree with itself. */
export function resumeImage({ state, sidecar, xtsKey }: Inheritance, log: Log): OpenedImage {
  const { options, ca, members, image } = state;
  const { imageSize, chunkSize, digest, ...facts } = image;
  const tree = digest === undefined ? undefined : verifySidecar(sidecar ?? new Uint8Array(), parseDigest(digest));
  const collective = resumeCollective({
    urls: options.urls.map(parseFileUrl),
    digest: tree && hexOf(tree.digest),
    ca,
    onOutage: outagePolicy(options),
    log,
    time: systemTime,
    image: { imageSize, head: image.head, tail: image.tail },
    verification: tree && verificationBy(tree),
    members,
  });
  const geometry = new ImageGeometry(imageSize, chunkSize);
  // What a boot reads first was read long ago.
  return { ...facts, collective, geometry, metadata: [], tree, digest, sidecar, xtsKey, ca };
}

/** Seconds since 1970; 0 for a date that is none, or that no file of ours can have (before 1970, after 2106). */
function mtimeOf({ lastModified }: ImageIdentity): number {
  const seconds = Math.floor((lastModified?.getTime() ?? 0) / 1000);
  return seconds >= 0 && seconds < 2 ** 32 ? seconds : 0;
}

function outagePolicy({ onOutage, outageTimeout }: MountOptions): OutagePolicy {
  return onOutage === 'wait' ? { mode: 'wait' } : { mode: 'eio', timeoutMs: outageTimeout * 1000 };
}

/** The first bytes of the payload in clear. */
function decryptedHead(head: Uint8Array, xtsKey: Uint8Array): Uint8Array {
  const payload = Uint8Array.from(head.subarray(headerSize, head.length - (head.length % sectorSize)));
  loadBinding().xts(payload, xtsKey, 0, 'decrypt');
  return payload;
}

/** As examineImage; with the key it is known how long the squashfs in it must be. */
function examineWithKey(head: Uint8Array, size: number, type: string | undefined, xtsKey: Uint8Array | undefined) {
  const found = examineImage(head, size, type);
  if (found !== 'unbounded' || xtsKey === undefined) return found;
  const within = examineImage(decryptedHead(head, xtsKey), encryptedPayloadSize(size), undefined);
  return within === 'unknown' ? found : within;
}

/** With another image's key the file shown would be noise. What is encrypted has a header that we know (docs/image-format.md). */
function insistOnKey(payload: Uint8Array, size: number): void {
  if (examineImage(payload, size, undefined) === 'unknown') {
    throw new KeyFileError('--key-file: the key does not open this image; is it the key of an older or newer one?');
  }
}

/** What is wrong with them is the kernel's to say, when it reads them. @param shownAt where the file shown begins in the image as served. */
function metadataAt(shownAt: number, head: Uint8Array, size: number): ByteRange[] {
  if (imageLayout(head).format !== 'squashfs') return [];
  try {
    return squashfsMetadata(head, size).map(({ offset, length }) => ({ offset: shownAt + offset, length }));
  } catch {
    return [];
  }
}

/** Whoever can alter http:// traffic could alter the root filesystem: AES-XTS alone does not notice. */
function insistOnTrust(urls: readonly FileUrl[], { allowUnverified }: MountOptions, log: Log): void {
  const plain = urls.find(({ secure }) => !secure)?.text;
  if (plain === undefined) return;
  if (!allowUnverified) {
    throw new UsageError(
      `${plain}: bytes over http:// need --digest sha256:… to be trusted, or --allow-unverified to do without`,
    );
  }
  log.warn('bytes over http:// are not verified: whoever can alter them on the way alters the file', { url: plain });
}
