/**
 * Two trees, of directories or images, mounted read-only beside each other where nobody else sees them: in a mount namespace that a process holds which ends with us, however we end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { mkdir, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../base/errors.ts';
import { runProgram } from '../base/program.ts';
import { bytesOf, leadsTo } from '../base/tree-entry.ts';
import type { Xts } from '../image/encryption.ts';
import { loadBinding } from '../native/binding.ts';
import { openLayers } from './clear-layers.ts';
import { DiffError } from './errors.ts';
import { removeAbandoned, temporaryId } from './leftovers.ts';
import type { ImageToUnpack } from './unpack-source.ts';

export type Side = { readonly directory: string } | { readonly image: ImageToUnpack };
export type SideName = 'a' | 'b';

export interface SideOptions {
  xts: Xts;
  /** Bytes of an image that were checked, of all of it. */
  onChecked?: ((done: number, total: number) => void) | undefined;
  signal: AbortSignal;
}

const prefix = '.tetherfs-diff-';
/** /tmp may be in RAM, and has no room for images then. */
const usualPlace = '/var/tmp';
/** Directories of ours to mount on, and a word when they are there; until it is killed. */
const holding = 'mount -t tmpfs -o mode=0700 tetherfs "$1" && mkdir "$1/a" "$1/b" && echo ready && exec cat';

export class SideBySide implements AsyncDisposable {
  readonly #stage: string;
  readonly #options: SideOptions;
  readonly #holder: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(stage: string, options: SideOptions) {
    this.#stage = stage;
    this.#options = options;
    const words = ['--mount', '--propagation', 'private', 'setpriv', '--pdeathsig', 'KILL', 'sh', '-c', holding, 'sh'];
    this.#holder = spawn('unshare', [...words, stage], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#ended = new Promise((resolve) => this.#holder.on('close', resolve).on('error', resolve));
  }

  /** @throws DiffError; as reading the images does */
  static async mount(a: Side, b: Side, options: SideOptions): Promise<SideBySide> {
    if (process.geteuid?.() !== 0) throw new DiffError('only root can mount what is to be compared: run this as root');
    const place = process.env['TMPDIR'] ?? usualPlace;
    await removeAbandoned(place, prefix);
    const stage = join(place, prefix + temporaryId());
    await mkdir(stage, { mode: 0o700 });
    const both = new SideBySide(stage, options);
    try {
      const { stdout } = both.#holder;
      if (stdout === null || (await Promise.race([once(stdout, 'data'), both.#ended])) === undefined)
        throw new DiffError('what is to be compared cannot be mounted: are unshare and setpriv there (util-linux)?');
      await both.#mountSide('a', a);
      await both.#mountSide('b', b);
      return both;
    } catch (error) {
      await both[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where it is for programs that are started by `words`. */
  path(side: SideName): string {
    return join(this.#stage, side);
  }

  /** Where it is for us. */
  seenAt(side: SideName): string {
    return `/proc/${this.#holder.pid}/root${this.path(side)}`;
  }

  /** Before a program that is to see both, and to end with us. */
  get words(): readonly [string, ...string[]] {
    return ['nsenter', `--mount=/proc/${this.#holder.pid}/ns/mnt`, 'setpriv', '--pdeathsig', 'KILL'];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#holder.kill('SIGKILL');
    await this.#ended;
    await rm(this.#stage, { recursive: true, force: true });
  }

  async #mountSide(name: SideName, side: Side): Promise<void> {
    const at = this.path(name);
    if ('directory' in side) {
      // What is mounted in a directory does not belong to it.
      await this.#run('mount', '--bind', await realpath(side.directory), at);
      return this.#run('mount', '-o', 'remount,bind,ro', at);
    }
    const { xts, onChecked, signal } = this.#options;
    await using clear = await openLayers(side.image, { xts, directory: this.#stage, onProgress: onChecked, signal });
    for (const { mountPoint, offset, size } of clear.layers) {
      const place = mountPoint === '/' ? '' : await leadsTo(bytesOf(this.seenAt(name)), bytesOf(mountPoint));
      const { device, fd } = await loadBinding().loopAttach(`/proc/self/fd/${clear.file.fd}`, offset, size);
      const target = at + Buffer.from(place, 'latin1').toString();
      try {
        await this.#run('mount', '-t', 'squashfs', '-o', 'ro', device, target);
      } catch (cause) {
        if (!(cause instanceof DiffError)) throw cause;
        throw new DiffError(`${side.image.name} is no squashfs that this kernel mounts: its log says more`, { cause });
      } finally {
        // It is the mount's alone from now on.
        closeSync(fd);
      }
    }
  }

  async #run(...command: string[]): Promise<void> {
    const [program, ...words] = this.words;
    const { signal } = this.#options;
    const missing = (cause: unknown) => new DiffError('nsenter is not installed (package util-linux)', { cause });
    await runProgram(program, [...words, ...command], { signal, missing }).catch((cause: unknown) => {
      signal.throwIfAborted();
      throw new DiffError(`what is to be compared cannot be mounted: ${describeError(cause)}`, { cause });
    });
  }
}
