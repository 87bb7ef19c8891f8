/** Where an image lies, as the user said it: a path or an http(s) URL; and what lies beside it. */
import { basename, dirname } from 'node:path';
import { fileBeside, isFileUrl, parseFileUrl } from '../base/file-url.ts';
import { keyFileSizeLimit, parseKeyFile } from '../image/key-file.ts';
import { largestSidecarSize, sidecarSuffix } from '../image/sidecar.ts';
import { readBuildInfo } from './build-info.ts';
import { ImageSourceError } from './errors.ts';
import { type ClosableSource, openFileSource, readSmallFile } from './file-source.ts';
import { fetchSmallFile, type HttpOptions, openHttpSource } from './http-source.ts';
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

/** @throws UsageError when `location` is a malformed URL, ImageSourceError when the image cannot be read. */
export async function openImage(location: string, options: HttpOptions = {}): Promise<OpenImage> {
  const url = isFileUrl(location) ? parseFileUrl(location) : undefined;
  const source = url === undefined ? await openFileSource(location) : await openHttpSource(url, options);
  return {
    name: url?.text ?? location,
    source,
    sidecar() {
      const limit = largestSidecarSize(source.size);
      if (url === undefined) return readSmallFile(location + sidecarSuffix, limit);
      return fetchSmallFile(fileBeside(url, sidecarSuffix), limit, options);
    },
    async bootOrder() {
      if (url !== undefined) return undefined;
      const info = await readBuildInfo(dirname(location));
      return info?.image === basename(await publishedFile(location)) ? info.bootOrder : undefined;
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

/** The key in a key file. @throws KeyFileError, ImageSourceError */
export async function readKeyFile(path: string): Promise<Uint8Array> {
  const bytes = await readSmallFile(path, keyFileSizeLimit);
  if (bytes === undefined) throw new ImageSourceError(`there is no key file ${path}`);
  return parseKeyFile(bytes, path);
}
