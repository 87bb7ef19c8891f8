/** An image as an administrator makes it, with `tetherfs image pack`, and where everything of it lies. */
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tetherfsCommand } from './daemon.ts';

export interface PackedImage {
  /** What members serve as /confluent-public. */
  publicDir: string;
  /** The image's path below it. */
  path: string;
  imageFile: string;
  keyFile: string;
  /** `sha256:HEX`. */
  digest: string;
  /** Bytes of the image as served. */
  size: number;
}

/**
 * Packs `tree` into `directory`/public/os/demo/rootimg.sfs.
 * @param options further options of `tetherfs image pack`.
 * @throws Error with its words when it fails.
 */
export async function packImage(
  tree: string,
  directory: string,
  options: readonly string[] = [],
): Promise<PackedImage> {
  const publicDir = join(directory, 'public');
  mkdirSync(join(publicDir, 'os'), { recursive: true });
  const outDir = join(publicDir, 'os/demo');
  const privateDir = join(directory, 'private');
  const { stdout } = await promisify(execFile)(tetherfsCommand, [
    ...['image', 'pack', '--private-dir', privateDir, ...options, tree, outDir],
  ]);
  return packedImage(directory, stdout);
}

/** The image below `directory`, of which `tetherfs image pack` said `output` when it was made. */
export function packedImage(directory: string, output: string): PackedImage {
  const publicDir = join(directory, 'public');
  return {
    publicDir,
    path: 'os/demo/rootimg.sfs',
    imageFile: join(publicDir, 'os/demo/rootimg.sfs'),
    keyFile: join(directory, 'private/pending/rootimg.key'),
    digest: lineOf(output, 'digest'),
    size: Number.parseInt(lineOf(output, 'size'), 10),
  };
}

function lineOf(output: string, name: string): string {
  const value = output
    .split('\n')
    .find((line) => line.startsWith(`${name} `))
    ?.slice(name.length)
    .trim();
  if (value === undefined) throw new Error(`tetherfs image pack printed no ${name}:\n${output}`);
  return value;
}
