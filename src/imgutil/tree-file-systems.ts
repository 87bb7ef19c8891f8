/** A tree that was several file systems of one machine: each becomes a squashfs, and all of them one payload, from which it can be installed on disks again. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesOf, placeOf } from '../base/tree-entry.ts';
import type { ImageSource } from '../image/image-source.ts';
import { joinPartitions } from '../image/partitions.ts';
import { PackError } from './errors.ts';
import { type ClosableSource, openFileSource } from './file-source.ts';
import { type Compression, mksquashfs } from './mksquashfs.ts';
import { liesIn } from './private-place.ts';

/** A file system of a machine. */
export interface TreeFileSystem {
  /** In the tree: `/`, `/home`. */
  readonly mountPoint: string;
  /** `ext4`. */
  readonly type: string;
  readonly device: string;
  /** Of the file system itself, as the kernel lists them: `rw,seclabel`. */
  readonly options: string;
  /** Bytes that it takes, and that it has. */
  readonly used: number;
  readonly size: number;
}

/** Where others are mounted in it. */
export function mountedIn({ mountPoint }: TreeFileSystem, all: readonly TreeFileSystem[]): string[] {
  return all.map((one) => one.mountPoint).filter((one) => one !== mountPoint && liesIn(one, mountPoint));
}

export interface PackFileSystemsOptions {
  /** The root's first. */
  fileSystems: readonly TreeFileSystem[];
  /** A directory for the squashfs of each. */
  temporary: string;
  onRead: ((bytes: number) => void) | undefined;
}

/** @throws PackError, Error ENOSPC */
export async function packFileSystems(
  { sourceDir, compression, signal }: { sourceDir: string; compression: Compression; signal?: AbortSignal | undefined },
  { fileSystems, temporary, onRead }: PackFileSystemsOptions,
): Promise<{ payload: ImageSource; warnings: string[] } & AsyncDisposable> {
  const warnings = new Set<string>();
  const opened: ClosableSource[] = [];
  const close = async () => {
    for (const source of opened) await source[Symbol.asyncDispose]();
  };
  try {
    let before = 0;
    for (const [index, fileSystem] of fileSystems.entries()) {
      const path = join(temporary, `part-${index}.sfs`);
      const without = await contentsElsewhere(sourceDir, fileSystem, fileSystems);
      const excludeFile = without.length === 0 ? undefined : join(temporary, `part-${index}.without`);
      if (excludeFile !== undefined)
        await writeFile(excludeFile, without.map((name) => `${name}\n`).join(''), 'latin1');
      let read = 0;
      const told = await mksquashfs(join(sourceDir, fileSystem.mountPoint), path, {
        ...{ compression, signal, excludeFile, view: undefined },
        onRead(bytes) {
          read = bytes;
          onRead?.(before + bytes);
        },
      });
      before += read;
      for (const warning of told) warnings.add(warning);
      opened.push(await openFileSource(path));
    }
    const payload = joinPartitions(
      fileSystems.flatMap((fileSystem, index) => {
        const squashfs = opened[index];
        return squashfs === undefined ? [] : [{ ...described(fileSystem, squashfs.size), squashfs }];
      }),
    );
    return { payload, warnings: [...warnings], [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What lies in those that were mounted in it: paths in it, one character a byte. Their mountpoints are empty directories. */
async function contentsElsewhere(
  tree: string,
  fileSystem: TreeFileSystem,
  all: readonly TreeFileSystem[],
): Promise<string[]> {
  const { mountPoint } = fileSystem;
  const names = mountedIn(fileSystem, all).map(async (place) => {
    const within = bytesOf(place.slice(mountPoint === '/' ? 1 : mountPoint.length + 1));
    const entries = await readdir(placeOf(bytesOf(tree), bytesOf(place)), 'buffer');
    return entries.map((name) => {
      // mksquashfs reads them one a line.
      if (name.includes('\n')) throw new PackError(`a name in ${place} holds a line feed: rename that`);
      return `${within}/${name.toString('latin1')}`;
    });
  });
  return (await Promise.all(names)).flat();
}

/** As confluent's capture describes one. */
function described({ mountPoint, type, device, options, used, size }: TreeFileSystem, compressedSize: number) {
  const json = { mount: mountPoint, filesystem: type, minsize: used, initsize: size, flags: options, device };
  return {
    ...{ mountPoint, filesystem: type, device, minimumSize: used, initialSize: size },
    json: JSON.stringify({ ...json, compressed_size: compressedSize }),
  };
}
