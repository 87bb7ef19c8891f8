/**
 * What the members of a site serve: a tree, packed and encrypted. Packing takes a second of a processor, so an image is made once a run and shared by the
 * files of it, as long as nobody puts files of his own into its tree. Nobody writes to it: members serve copies.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseKeyFile } from '../../src/image/key-file.ts';
import { pack } from '../../src/imgutil/pack.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { sharedDirectory } from '../support/temp-dir.ts';
import { pseudoRandomBytes } from './pseudo-random.ts';

export interface ImageContents {
  /** MiB of incompressible data. */
  mebibytes: number;
  /** fs-verity block size in bytes. */
  blockSize: number;
  /** Puts further files into the tree. */
  populate?: ((tree: string) => void) | undefined;
}

export class SiteImage {
  /** `tree` is what was packed, `packed` what came of it. */
  readonly directory: string;
  /** `sha256:…` */
  readonly digest: string;
  readonly keyFile: string;
  /** The image as served, and the squashfs in it. */
  readonly served: Buffer;
  readonly plain: Buffer;

  private constructor(directory: string) {
    const { digest, key } = JSON.parse(readFileSync(join(directory, 'result'), 'utf8')) as Result;
    this.directory = directory;
    this.digest = digest;
    this.keyFile = join(directory, key);
    this.served = readFileSync(join(directory, 'packed/rootimg.sfs'));
    this.plain = Buffer.from(this.served.subarray(4096));
    loadBinding().xts(this.plain, parseKeyFile(readFileSync(this.keyFile), this.keyFile), 0, 'decrypt');
  }

  /** @param ownDirectory where it is made when it is like no other. */
  static async make(contents: ImageContents, ownDirectory: string): Promise<SiteImage> {
    if (contents.populate !== undefined) {
      await make(contents, ownDirectory);
      return new SiteImage(ownDirectory);
    }
    const shared = join(sharedDirectory, `image-${contents.mebibytes}-${contents.blockSize}`);
    if (!existsSync(shared)) {
      const making = mkdtempSync(join(sharedDirectory, 'making-'));
      await make(contents, making);
      try {
        renameSync(making, shared);
      } catch (error) {
        // Another file was quicker.
        if (!existsSync(shared)) throw error;
        rmSync(making, { recursive: true });
      }
    }
    return new SiteImage(shared);
  }
}

interface Result {
  digest: string;
  /** Path of the key file in the directory. */
  key: string;
}

async function make({ mebibytes, blockSize, populate }: ImageContents, directory: string): Promise<void> {
  const tree = join(directory, 'tree');
  mkdirSync(tree);
  writeFileSync(join(tree, 'random'), pseudoRandomBytes(mebibytes * 1024 * 1024, 1));
  writeFileSync(join(tree, 'hello'), 'hello\n');
  populate?.(tree);
  const { digest, keyPath = '' } = await pack({
    sourceDir: tree,
    outDir: join(directory, 'packed'),
    compression: 'lz4',
    verityBlockSize: blockSize,
    xts: loadBinding().xts,
  });
  const result: Result = { digest, key: relative(directory, keyPath) };
  writeFileSync(join(directory, 'result'), JSON.stringify(result));
}
