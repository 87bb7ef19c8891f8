/** A tree becomes one that diskless nodes boot: `image prepare` is done in it, and its own tool makes the initramfs, in a container here. */
import { readFile, writeFile } from 'node:fs/promises';
import { bytesOf, fileInside, placeOf } from '../base/tree-entry.ts';
import { InitramfsError } from './errors.ts';
import { execInTree } from './exec.ts';
import { initramfsTools, prepareTree } from './prepare.ts';
import { bootKernel, type TreeKernel } from './tree-kernel.ts';

export interface BootableOptions {
  /** What `image prepare` puts into it; undefined: ours. */
  readonly runtime?: string | undefined;
  /** Version of the kernel that nodes boot; undefined: the newest. */
  readonly kernel?: string | undefined;
}

export interface BootableWatcher {
  /** Told what begins. */
  readonly onStep: (step: string) => void;
  /** Told what the distribution's tools say. */
  readonly onLine: (line: string) => void;
  readonly onWarning: (line: string) => void;
  readonly signal: AbortSignal;
}

/** For all kernels. dracut(8), update-initramfs(8). */
const commands: Readonly<Record<string, readonly string[]>> = {
  'initramfs-tools': ['update-initramfs', '-c', '-k', 'all'],
  dracut: ['dracut', '--force', '--regenerate-all'],
};

/** @param tree its real path. @returns the kernel that nodes will boot by. @throws InitramfsError; as prepareTree; AbortError */
export async function makeBootable(
  tree: string,
  { runtime, kernel: version }: BootableOptions,
  { onLine, onWarning, onStep, signal }: BootableWatcher,
): Promise<TreeKernel | undefined> {
  await disableSelinux(tree);
  const bytes = bytesOf(tree);
  const kernel = await bootKernel(bytes, version);
  if (kernel === undefined) onWarning('it has no kernel: no node boots it');
  if ((await initramfsTools(bytes)).length === 0) {
    onWarning('it has nothing that makes an initramfs (initramfs-tools, dracut): no node boots it');
    return kernel;
  }
  const { tools, missing } = await prepareTree(tree, runtime);
  for (const { program, package: bringer } of missing)
    onWarning(`its nodes need ${program}, which it has not: add the package ${bringer}`);
  if (kernel === undefined) return undefined;
  for (const tool of tools) {
    onStep(`making its initramfs by ${tool}`);
    const said: string[] = [];
    const status = await execInTree({
      directory: tree,
      command: commands[tool] ?? [],
      volumes: [],
      onLine(line) {
        said.push(line);
        onLine(line);
      },
      signal,
    });
    signal.throwIfAborted();
    if (status !== 0) throw new InitramfsError(`${tool} ended with status ${status}: ${said.slice(-3).join('; ')}`);
  }
  return await bootKernel(bytes, kernel.version);
}

/** What comes from outside has no labels: enforced, it would not boot. */
async function disableSelinux(tree: string): Promise<void> {
  const config = await fileInside(bytesOf(tree), '/etc/selinux/config');
  if (config === undefined) return;
  const path = placeOf(bytesOf(tree), config.path);
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace(/^SELINUX=.*$/m, 'SELINUX=disabled'));
}
