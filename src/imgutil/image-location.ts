/** Where an image lies, as the user said it: a path or an http(s) URL; and what lies beside it. */
import { basename, dirname } from 'node:path';
import { digestName } from '../base/digest-name.ts';
import { UsageError } from '../base/errors.ts';
import { fileBeside, isFileUrl, parseFileUrl } from '../base/file-url.ts';
import { hexOf, type ImageDigest } from '../image/digest.ts';
import { keyFileSizeLimit, parseKeyFile } from '../image/key-file.ts';
import { largestSidecarSize, sidecarSuffix } from '../image/sidecar.ts';
import type { AuthorityOptions } from '../members/index.ts';
import { readBuildInfo } from './build-info.ts';
import { ImageSourceError } from './errors.ts';
import { type ClosableSource, exists, openFileSource, readSmallFile } from './file-source.ts';
import { fetchSmallFile, openHttpSource } from './http-source.ts';
import { publishedFile } from './published-names.ts';

export interface OpenImage extends AsyncDisposable {
  /** What it is called where it is shown: without a URL's query, which may be a secret. */
  readonly name: string;
  readonly source: ClosableSource;
  /** The sidecar beside the image; undefined when there is none. */
  sidecar(): Promise<Uint8Array | undefined>;
  /** What `build-info` beside it says that it was packed in the order of; undefined when that tells of another image, or is not there. */
  bootOrder(): Promise<string | undefined>;
}

/**
 * @param digest of the image that is wanted: it may lie under its own name beside the newest.
 * @throws UsageError when `location` is a malformed URL, ImageSourceError when the image cannot be read.
 */
export async function openImage(
  location: string,
  authorities: AuthorityOptions = {},
  digest?: ImageDigest,
): Promise<OpenImage> {
  const own = digest === undefined ? undefined : await openByDigest(location, digest, authorities);
  return own ?? (await open(location, authorities));
}

/** Of the name that `pack` gave it; undefined when there is none of that name. */
async function openByDigest(
  location: string,
  digest: ImageDigest,
  authorities: AuthorityOptions,
): Promise<OpenImage | undefined> {
  const named = (path: string) => path.replace(/[^/]+$/, (name) => digestName(name, hexOf(digest)));
  if (!isFileUrl(location)) return (await exists(named(location))) ? open(named(location), authorities) : undefined;
  const own = location.replace(/^[^?]*/, named);
  return open(own, authorities).catch((error: unknown) => {
    if (error instanceof ImageSourceError && error.missing) return undefined;
    throw error;
  });
}

async function open(location: string, authorities: AuthorityOptions): Promise<OpenImage> {
  const url = isFileUrl(location) ? parseFileUrl(location) : undefined;
  const source = url === undefined ? await openFileSource(location) : await openHttpSource(url, authorities);
  return {
    name: url?.text ?? location,
    source,
    sidecar() {
      const limit = largestSidecarSize(source.size);
      if (url === undefined) return readSmallFile(location + sidecarSuffix, limit);
      return fetchSmallFile(fileBeside(url, sidecarSuffix), limit, authorities);
    },
    async bootOrder() {
      if (url !== undefined) return undefined;
      const info = await readBuildInfo(dirname(location));
      return info?.image === basename(await publishedFile(location)) ? info.bootOrder : undefined;
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

/** The key in the file that `--key-file` names. @throws UsageError without it, KeyFileError, ImageSourceError */
export async function readKeyFile(path: string): Promise<Uint8Array> {
  const bytes = await readSmallFile(path, keyFileSizeLimit);
  if (bytes === undefined) throw new UsageError(`--key-file ${path}: no such file`);
  return parseKeyFile(bytes, path);
}
