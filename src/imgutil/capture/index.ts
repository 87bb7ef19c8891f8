/**
 * A running machine becomes an image. It sends its file systems, without what no other machine may have, into a tree in the private place; there the tree is made one that diskless nodes boot,
 * and packed. Over there nothing is written but snapshots of btrfs, for as long as it is read.
 */
import { mkdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { machine as ownMachine } from 'node:os';
import { join } from 'node:path';
import { describeError, errorCode, shownText, TetherfsError, UsageError } from '../../base/errors.ts';
import type { RunProgram } from '../../base/program.ts';
import { formatSize } from '../../base/size.ts';
import { bytesOf, fileInside, placeOf, shownPath } from '../../base/tree-entry.ts';
import { baseDirectory } from '../base-profile.ts';
import { CaptureError } from '../errors.ts';
import { removeLeftovers, temporaryId } from '../leftovers.ts';
import { blankInPlace, machineFiles } from '../machine-files.ts';
import { MadeDirectories } from '../made-directories.ts';
import { type BootableWatcher, makeBootable } from '../make-bootable.ts';
import { makeOutput, makePrivatePlace } from '../output-place.ts';
import { type PackedImage, type PackOptions, pack } from '../pack.ts';
import { insistOnRuntime } from '../prepare.ts';
import { confluentTree } from '../private-place.ts';
import { imageName } from '../published-names.ts';
import { visit } from '../remote-member.ts';
import { bootKernel } from '../tree-kernel.ts';
import { collector } from './collector.ts';
import { withoutDisks } from './fstab.ts';
import { type Received, receive } from './receive.ts';
import { type NodeSurvey, survey } from './survey.ts';

export interface CaptureOptions
  extends Pick<
    PackOptions,
    | 'outDir'
    | 'privateDir'
    | 'tree'
    | 'compression'
    | 'verityBlockSize'
    | 'xts'
    | 'keep'
    | 'baseProfile'
    | 'onRead'
    | 'onProgress'
  > {
  /** `[USER@]HOST`, as ssh takes it. */
  login: string;
  /** A file for ssh's -F. */
  sshConfig?: string | undefined;
  run: RunProgram;
  /** Whether all becomes one squashfs; else each file system becomes its own, from which a disk can be made again. */
  single: boolean;
  /** Absolute paths of directories there of which nothing is captured. */
  without: readonly string[];
  /** Whether what can be held still is, while it is read. */
  freeze: boolean;
  /** What `image prepare` puts into the tree; undefined: ours. */
  runtime?: string | undefined;
}

export interface CaptureWatcher extends BootableWatcher {
  readonly onLeftover: (path: string) => void;
  /** Bytes that have come, of about so many. */
  readonly onReceived: (done: number, total: number) => void;
}

export interface CapturedImage extends PackedImage {
  /** Where its file systems are mounted there. */
  readonly mountPoints: readonly string[];
  /** What changed there while it was read. */
  readonly changed: readonly string[];
}

/** @throws UsageError, CaptureError, PackError, InitramfsError; TetherfsError NO_RUNTIME, TOOL. There and here all is as it was then. */
export async function capture(options: CaptureOptions, watcher: CaptureWatcher): Promise<CapturedImage> {
  const { login } = options;
  if (process.geteuid?.() !== 0) throw new CaptureError('only root can give files their owners: run this as root');
  await insistOnRuntime(options.runtime);
  const made = new MadeDirectories();
  try {
    return await captureInto(options, watcher, made);
  } catch (error) {
    await made.remove();
    if (watcher.signal.aborted)
      throw new CaptureError(`capturing ${login} was interrupted; nothing was changed`, { cause: error });
    if (errorCode(error) === 'ENOSPC')
      throw new CaptureError(`there is no room for the tree of ${login}, beside its key; nothing was changed`, {
        cause: error,
      });
    if (error instanceof CaptureError)
      throw new CaptureError(`cannot capture ${login}: ${error.message}`, { cause: error });
    if (error instanceof TetherfsError && error.code !== 'PROGRAM') throw error;
    throw new CaptureError(`cannot capture ${login}: ${describeError(error)}`, { cause: error });
  }
}

async function captureInto(
  options: CaptureOptions,
  watcher: CaptureWatcher,
  made: MadeDirectories,
): Promise<CapturedImage> {
  const { login, single, runtime } = options;
  const { onStep, onWarning, signal } = watcher;
  const outDir = await makeOutput(options.outDir, made);
  const { baseProfile, tree: confluent = confluentTree } = options;
  // That it is not there is better known before all has been sent.
  if (baseProfile !== undefined) await baseDirectory(baseProfile, confluent, outDir);
  // Also of an image in clear: the tree is nobody's business while it is made.
  const { privateDir, directory } = await makePrivatePlace(outDir, options, made);
  for (const path of await removeLeftovers([privateDir, directory])) watcher.onLeftover(path);
  const work = join(privateDir, `.${imageName}.pack-${temporaryId()}`);
  const tree = join(work, 'root');
  await mkdir(work, { mode: 0o700 });
  try {
    const { node, received } = await fetchTree(options, watcher, { work, tree });
    onStep('making it one for all nodes');
    await generalize(tree);
    const kernel = await makeBootable(tree, { runtime, kernel: await kernelToBoot(tree, node) }, watcher);
    // Once more: what the tree's own tools have made is in it now.
    await blankInPlace(bytesOf(tree), await machineFiles(bytesOf(tree), { keep: received.kept, ofRunning: true }));
    onStep('packing it');
    const packed = await pack({
      ...options,
      ...{ outDir, sourceDir: tree, keep: received.kept, origin: login, kernel: kernel?.version, signal },
      fileSystems: single ? undefined : node.fileSystems,
    });
    const { masked, changed } = received;
    if (masked.length === 0) onWarning('nothing of it was masked: is it a machine at all?');
    const mountPoints = node.fileSystems.map(({ mountPoint }) => mountPoint);
    return { ...packed, blanked: [...masked, ...packed.blanked], mountPoints, changed };
  } finally {
    await rm(work, { recursive: true, force: true });
    // The private directory of an image in clear has no use.
    if (options.xts === undefined) await made.remove();
  }
}

async function fetchTree(
  { login, sshConfig, run, keep = [], without, freeze }: CaptureOptions,
  { onStep, onWarning, onReceived, signal }: CaptureWatcher,
  { work, tree }: { work: string; tree: string },
): Promise<{ node: NodeSurvey; received: Received }> {
  return visit({ login }, { sshConfig, run, signal }, async (there) => {
    onStep(`looking at ${login}`);
    const node = await survey(there, without);
    if (node.machine !== ownMachine())
      throw new CaptureError(
        `it is ${node.machine}: its initramfs can be made on such a machine only; capture it there`,
      );
    const { fileSystems } = node;
    const total = fileSystems.reduce((sum, { used }) => sum + used, 0);
    for (const one of node.passedOver) onWarning(`not captured: ${shownText(one)}`);
    const { bavail, bsize } = await statfs(work);
    if (bavail * bsize < total)
      onWarning(
        `it has ${formatSize(total)}, and ${work} has room for ${formatSize(bavail * bsize)}: that may not be enough`,
      );
    onStep(`reading ${fileSystems.map(({ mountPoint, type }) => `${mountPoint} (${type})`).join(', ')}`);
    const received = await receive(there, collector(node, { keep, without, freeze }), {
      ...{ tree, signal, onNote: onWarning },
      onBytes: (bytes) => onReceived(Math.min(bytes, total), total),
    });
    return { node, received };
  });
}

/** What it runs by, if that is in the tree. */
async function kernelToBoot(tree: string, { kernel }: NodeSurvey): Promise<string | undefined> {
  return await bootKernel(bytesOf(tree), kernel).then(
    (found) => found?.version,
    (error: unknown) => {
      if (error instanceof UsageError) return undefined;
      throw error;
    },
  );
}

/** Nothing in it waits for disks of the machine that it is of. */
async function generalize(tree: string): Promise<void> {
  const fstab = await fileInside(bytesOf(tree), '/etc/fstab');
  if (fstab === undefined) return;
  const place = placeOf(bytesOf(tree), fstab.path);
  if (fstab.status.nlink > 1n) throw new CaptureError(`${shownPath(fstab.path)} has another name there: remove that`);
  const text = await readFile(place, 'latin1');
  await writeFile(place, withoutDisks(text), 'latin1');
}
