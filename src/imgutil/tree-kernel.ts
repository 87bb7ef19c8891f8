/** The newest kernel of a tree that has an initramfs, which the distribution made for it. */
import { open } from 'node:fs/promises';
import { UsageError } from '../base/errors.ts';
import { fileInside, filesMatching, placeOf, shownPath } from '../base/tree-entry.ts';

export interface TreeKernel {
  /** As `uname -r` says it. */
  readonly version: string;
  /** In the tree, without links, one character a byte. */
  readonly kernel: string;
  /** Undefined when there is none for it. */
  readonly initramfs: string | undefined;
}

/** Debian, Red Hat and SUSE on x86-64 and most others; SUSE on aarch64; and where Red Hat keeps those that no script has copied yet. */
const kernelNames = ['/boot/vmlinuz-*', '/boot/Image-*', '/lib/modules/*/vmlinuz', '/lib/modules/*/Image'];
const initramfsNames = [
  ...['/boot/initrd.img-VERSION', '/boot/initramfs-VERSION.img', '/boot/initrd-VERSION'],
  '/lib/modules/VERSION/initramfs.img',
];
/** Made for when nothing else boots, or kept from before. */
const notThese = /rescue|\.(old|bak|dpkg-\w+|rpm\w+)$/;

/**
 * @param tree its real path, one character a byte. @param wanted the version that is wanted; undefined: the newest that has an initramfs, else the newest.
 * @returns undefined when there is no kernel. @throws UsageError when the wanted one is not there.
 */
export async function bootKernel(tree: string, wanted: string | undefined): Promise<TreeKernel | undefined> {
  const kernels = await kernelsOf(tree);
  if (wanted !== undefined) {
    const found = kernels.find(({ version }) => version === wanted);
    const there = kernels.map(({ version }) => shownPath(version)).join(', ') || 'none';
    if (found === undefined) throw new UsageError(`--kernel ${wanted}: the tree has no such kernel, but ${there}`);
    return found;
  }
  const newestFirst = kernels.sort((a, b) => compareVersions(b.version, a.version));
  return newestFirst.find(({ initramfs }) => initramfs !== undefined) ?? newestFirst[0];
}

async function kernelsOf(tree: string): Promise<TreeKernel[]> {
  for (const pattern of kernelNames) {
    const found: TreeKernel[] = [];
    for (const { path } of await filesMatching(tree, pattern, true)) {
      if (notThese.test(path)) continue;
      const version = (await versionInside(placeOf(tree, path))) ?? versionInName(path);
      found.push({ version, kernel: path, initramfs: await initramfsOf(tree, version) });
    }
    if (found.length > 0) return found;
  }
  return [];
}

async function initramfsOf(tree: string, version: string): Promise<string | undefined> {
  for (const name of initramfsNames) {
    const found = await fileInside(
      tree,
      name.replace('VERSION', () => version),
    );
    if (found !== undefined) return found.path;
  }
  return undefined;
}

/** The x86 boot protocol's (Documentation/arch/x86/boot.rst of Linux: `HdrS` at 0x202, kernel_version at 0x20e, from 0x200). */
async function versionInside(path: Buffer): Promise<string | undefined> {
  await using file = await open(path);
  const block = Buffer.alloc(65_536);
  const { bytesRead } = await file.read(block, 0, block.length, 0);
  if (bytesRead < 0x210 || block.toString('latin1', 0x202, 0x206) !== 'HdrS') return undefined;
  const start = 0x200 + block.readUInt16LE(0x20e);
  const [version = ''] = block.toString('latin1', start, Math.min(start + 256, bytesRead)).split(/[\s\0]/);
  return /^\d[\w.+~-]*$/.test(version) ? version : undefined;
}

function versionInName(path: string): string {
  return path.replace(/\/(vmlinuz|Image)$/, '').replace(/^.*\/((vmlinuz|Image)-)?/, '');
}

/**
 * As rpm compares them: numbers and words, whatever stands between; a number is newer than a word, and what goes on than what ends. A release
 * candidate, as what begins with a tilde, is older than what it is a candidate for.
 */
export function compareVersions(a: string, b: string): number {
  const parts = (version: string) => version.replace(/[-~]rc/, '~rc').match(/\d+|[a-z]+|~/gi) ?? [];
  const [left, right] = [parts(a), parts(b)];
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const order = rankOf(left[index]) - rankOf(right[index]);
    if (order !== 0) return Math.sign(order);
    const [one = '', other = ''] = [left[index], right[index]];
    if (one !== other && rankOf(one) < number) return one < other ? -1 : 1;
  }
  return 0;
}

const number = 3;

/** Of parts of one kind words are equal here; numbers follow all words. */
function rankOf(part: string | undefined): number {
  if (part === undefined) return 1;
  if (part === '~') return 0;
  return /^\d/.test(part) ? number + Number(part) : 2;
}
