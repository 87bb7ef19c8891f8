/**
 * What a node writes lies on an xfs on compressed RAM (zram) above the squashfs, and what it deletes is given back at once (discard).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describeError, errorCode, TetherfsError } from '../../base/errors.ts';
import { totalMemory } from '../../mount/memory-check.ts';
import { loadBinding } from '../../native/binding.ts';
import type { ZramSettings } from '../../profile/index.ts';
import { RootTree } from '../identity/root-tree.ts';
import { isMounted, makePlace, rootSource, writablePlace } from '../places.ts';
import { loadModule, run } from '../programs.ts';
import type { LowerLayer } from './lower.ts';

/** mkfs.xfs makes none smaller than 300 MB. What is not written takes no memory. */
const smallestDisk = 320 * 1024 ** 2;
/** Of the file system, for whoever looks at the devices. */
const label = 'tetherfs';

/** @param root where the node's root file system is to be. @param layers of the image, the root's first. */
export async function mountOverlay(root: string, layers: readonly LowerLayer[], zram: ZramSettings): Promise<void> {
  if (!isMounted(writablePlace)) await mountWritable(zram);
  await loadModule('overlay');
  for (const [index, { mountPoint, place }] of layers.entries()) {
    const target = index === 0 ? root : await new RootTree(root).makeDirectory(mountPoint);
    if (isMounted(target)) continue;
    const own = index === 0 ? '' : `-${index}`;
    const [upper, work] = [`${writablePlace}/upper${own}`, `${writablePlace}/work${own}`];
    for (const directory of [upper, work]) mkdirSync(directory, { recursive: true, mode: 0o755 });
    await loadBinding().mountFilesystem({
      source: rootSource,
      target,
      type: 'overlay',
      data: `lowerdir=${place},upperdir=${upper},workdir=${work}`,
      readOnly: false,
    });
  }
}

async function mountWritable(zram: ZramSettings): Promise<void> {
  await loadModule('zram');
  await loadModule('xfs');
  const number = newDisk();
  const device = `/dev/zram${number}`;
  try {
    setUp(number, zram);
    await run('mkfs.xfs', ['-q', '-f', '-L', label, device], { package: 'xfsprogs' });
    await loadBinding().mountFilesystem({
      source: device,
      target: makePlace(writablePlace),
      type: 'xfs',
      data: 'discard',
      readOnly: false,
    });
  } catch (error) {
    // Another try makes another.
    removeDisk(number);
    throw error;
  }
}

function setUp(number: number, { size, algorithm, limit }: ZramSettings): void {
  const settings = `/sys/block/zram${number}`;
  const bytes = Math.max(smallestDisk, 'bytes' in size ? size.bytes : Math.floor(totalMemory() * size.share));
  if (algorithm !== undefined) set(`${settings}/comp_algorithm`, algorithm);
  set(`${settings}/disksize`, String(bytes));
  if (limit !== undefined) set(`${settings}/mem_limit`, String(limit));
}

/** The zram driver's directory of commands. */
const commands = '/sys/class/zram-control';
const removal = `${commands}/hot_remove`;

function newDisk(): number {
  try {
    return Number(readFileSync(`${commands}/hot_add`, 'utf8'));
  } catch (cause) {
    if (errorCode(cause) !== 'ENOENT') throw cause;
    throw new TetherfsError('INITRAMFS', 'this kernel has no compressed RAM disks: the driver zram is missing', {
      cause,
    });
  }
}

/** One that is in use at this moment stays. */
export function removeDisk(number: number): void {
  try {
    writeFileSync(removal, String(number));
  } catch {
    // What failed before is what matters.
  }
}

function set(file: string, value: string): void {
  try {
    writeFileSync(file, value);
  } catch (cause) {
    const may = file.endsWith('comp_algorithm')
      ? `; there are ${readFileSync(file, 'utf8').replace(/[[\]\n]/g, '')}`
      : '';
    throw new TetherfsError('ZRAM', `${file} does not take ${value}: ${describeError(cause)}${may}`, { cause });
  }
}
