/**
 * What is made in a tree for something to be mounted over it, and is no part of the tree. A process of its own takes it away again when we end, in whatever way, and nobody else works in the tree any
 * more.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ExecError } from './errors.ts';
import { exists } from './file-source.ts';

export interface Mountpoint {
  /** In the tree, without links. */
  readonly path: string;
  readonly kind: 'file' | 'directory';
}

/** Waits for the end of its standard input, then until it has the tree for itself. What is not empty has become somebody's. */
const remover = `tree=$1 && shift && cat && exec flock --exclusive "$tree" sh -c '
  for path; do if [ -d "$path" ]; then rmdir -- "$path"; elif [ ! -s "$path" ]; then rm -f -- "$path"; fi; done' sh "$@"`;
/** So long we wait for it, ms: where others work in the tree, it goes on by itself. */
const patienceMs = 2_000;

export class MountedOver implements AsyncDisposable {
  readonly #tree: FileHandle;
  readonly #remover: ChildProcess | undefined;

  /** @param tree its real path. @throws ExecError, Error of a system call */
  static async make(tree: string, mountpoints: readonly Mountpoint[]): Promise<MountedOver> {
    const missing = new Set<string>();
    for (const { path } of mountpoints)
      for (let at = path; at !== '/' && !(await exists(tree + at)); at = dirname(at)) missing.add(at);
    const handle = await open(tree);
    await lockShared(handle.fd);
    // What lies in a directory goes before it.
    const places = [...missing].sort((a, b) => b.split('/').length - a.split('/').length).map((path) => tree + path);
    const made = new MountedOver(handle, tree, places);
    try {
      for (const { path, kind } of mountpoints.filter((one) => missing.has(one.path))) {
        await mkdir(kind === 'directory' ? tree + path : dirname(tree + path), { recursive: true });
        if (kind === 'file') await writeFile(tree + path, '', { flag: 'a' });
      }
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(handle: FileHandle, tree: string, places: readonly string[]) {
    this.#tree = handle;
    if (places.length === 0) return;
    // Neither Ctrl-C nor our end is its end.
    this.#remover = spawn('sh', ['-c', remover, 'sh', tree, ...places], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tree.close();
    const child = this.#remover;
    if (child === undefined) return;
    child.stdin?.end();
    if (child.exitCode === null)
      await Promise.race([once(child, 'exit'), delay(patienceMs, undefined, { ref: false })]);
    child.unref();
  }
}

/** For as long as this descriptor of ours is open: the lock is the open file's, whoever took it. */
async function lockShared(fd: number): Promise<void> {
  const child = spawn('flock', ['--shared', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
  const [status] = await once(child, 'close');
  if (status !== 0) throw new ExecError('the tree cannot be locked (flock(1), Debian package util-linux)');
}
