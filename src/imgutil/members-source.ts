/** An image that several members serve, read from whichever are healthiest, every byte checked where its digest is known. */
import type { ByteRange } from '../base/byte-range.ts';
import { UsageError } from '../base/errors.ts';
import { type FileUrl, fileBeside } from '../base/file-url.ts';
import { createLog } from '../base/log.ts';
import { systemTime } from '../base/time-source.ts';
import { hexOf, type ImageDigest } from '../image/digest.ts';
import { examineImage } from '../image/examine.ts';
import { rangeMatches } from '../image/range-check.ts';
import { readSidecar, sidecarSuffix, type Verity } from '../image/sidecar.ts';
import { mostSidecarBytes, treeSidecar, usualChunkSize } from '../image/tree-sidecar.ts';
import { type AuthorityOptions, authoritiesFor, type Collective, openCollective } from '../members/index.ts';
import type { ClosableSource } from './file-source.ts';
import { fetchSmallFile } from './http-source.ts';
import { SpanBuffer } from './span-buffer.ts';

export interface MembersSource extends ClosableSource {
  /** undefined: bytes are not checked. */
  readonly digest: ImageDigest | undefined;
}

export interface MembersOptions extends AuthorityOptions {
  /** From a trusted place. Without it that of the sidecar is believed, where https: says who serves it. */
  digest?: ImageDigest | undefined;
  /** Whether bytes may come over http: without a digest. */
  allowUnverified?: boolean | undefined;
  /** Told what is the matter with members. */
  onTrouble: (line: string) => void;
}

/** So long nobody may answer, ms, at first and later. */
const patienceMs = 30_000;

/** @throws UsageError without a digest over http:, NoMemberError, NoValidTreeError. */
export async function openMembersSource(urls: readonly FileUrl[], options: MembersOptions): Promise<MembersSource> {
  const { allowUnverified = false, onTrouble } = options;
  const [first] = urls;
  if (first === undefined) throw new UsageError('name a member: a URL');
  const plain = urls.find(({ secure }) => !secure);
  if (options.digest === undefined && plain !== undefined && !allowUnverified)
    throw new UsageError(
      `${plain.text}: bytes over http:// need --digest sha256:… to be trusted, or --allow-unverified to do without`,
    );
  const digest = options.digest ?? (await digestBeside(urls, options));
  const log = createLog({
    ...{ level: 'warn', format: 'text' },
    sink: (_, line) => {
      onTrouble(line.replace(/^tetherfs: /, ''));
      return true;
    },
  });
  let tree: Verity | undefined;
  const { collective, identity } = await openCollective({
    urls,
    ...{ log, time: systemTime, mountTimeoutMs: patienceMs, digest: digest && hexOf(digest) },
    onOutage: { mode: 'eio', timeoutMs: patienceMs },
    ca: authoritiesFor(urls, options),
    examine: (head, size, type) => examineImage(head, size, type),
    ...(digest !== undefined && {
      sidecar: treeSidecar(digest, (verified) => {
        tree = verified;
      }),
    }),
  });
  return new Served(collective, identity.imageSize, tree);
}

/** What the first member says that has it. @throws ImageSourceError when none can be asked. */
async function digestBeside(urls: readonly FileUrl[], options: MembersOptions): Promise<ImageDigest | undefined> {
  const errors: unknown[] = [];
  for (const url of urls) {
    try {
      const bytes = await fetchSmallFile(fileBeside(url, sidecarSuffix), mostSidecarBytes, options);
      if (bytes !== undefined) return readSidecar(bytes).digest;
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length === urls.length) throw errors[0];
  return undefined;
}

class Served implements MembersSource {
  readonly size: number;
  readonly #collective: Collective;
  readonly #tree: Verity | undefined;
  /** The collective's own timers hold no process: somebody waits here, also while no member answers. */
  readonly #hold = setInterval(() => {}, 60_000);

  constructor(collective: Collective, size: number, tree: Verity | undefined) {
    this.#collective = collective;
    this.size = size;
    this.#tree = tree;
  }

  get digest(): ImageDigest | undefined {
    return this.#tree?.digest;
  }

  async read({ offset, length }: ByteRange): Promise<Uint8Array> {
    const tree = this.#tree;
    const chunkSize = Math.max(usualChunkSize, tree?.blockSize ?? 0);
    const start = Math.floor(offset / chunkSize) * chunkSize;
    const end = Math.min(Math.ceil((offset + length) / chunkSize) * chunkSize, this.size);
    const span = { offset: start, length: end - start };
    const buffer = new SpanBuffer({
      span,
      chunkSize,
      matches: tree && ((range, bytes) => rangeMatches(tree, range, bytes)),
    });
    await buffer.filledBy(this.#collective.fetch(span, 'demand', buffer));
    return buffer.bytes.subarray(offset - start, offset - start + length);
  }

  [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#hold);
    return this.#collective.close();
  }
}
