/**
 * `tetherfs mount --foreground` as a test has it: started, asked, ended; its log kept. Closing it fails when a mount is left.
 * Nothing here touches the mount from the JavaScript thread: a read that hangs must not hang the test's own time-outs.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, realpathSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readStatus } from '../../src/mount/control-client.ts';
import { controlPathOf } from '../../src/mount/control-path.ts';
import { tetherfsMounts } from '../../src/mount/mount-table.ts';
import type { Status } from '../../src/mount/status.ts';
import { closed, complain, opened } from './teardown.ts';
import { transportOptions } from './transport.ts';
import { waitUntil } from './wait-until.ts';

/** That of the checkout: a runtime has no member in it. */
export const checkoutCommand = fileURLToPath(new URL('../../bin/tetherfs', import.meta.url));
/** $TETHERFS: that of a runtime, where all tests are run (scripts/test). */
export const tetherfsCommand = realpathSync(process.env['TETHERFS'] ?? checkoutCommand);

export interface DaemonOptions {
  urls: readonly string[];
  /** Made if absent. */
  mountpoint: string;
  /** Further options of `tetherfs mount`, e.g. `['--digest', digest]`. */
  options?: readonly string[];
  /** The program to mount with; ours when absent. */
  command?: string | undefined;
  /** ms until it must be ready. */
  readyWithinMs?: number;
}

export class Daemon implements AsyncDisposable {
  readonly mountpoint: string;
  readonly #child: ChildProcess;
  readonly #exit: Promise<number>;
  #log = '';
  #exitStatus: number | undefined;
  /** By the test itself: then its mount may be left. */
  #killed = false;

  private constructor({ urls, mountpoint, options = [], command = tetherfsCommand }: DaemonOptions) {
    mkdirSync(mountpoint, { recursive: true });
    this.mountpoint = mountpoint;
    this.#child = spawn(
      command,
      ['mount', '--foreground', '--log-level', 'debug', ...transportOptions, ...options, ...urls, mountpoint],
      {
        stdio: ['ignore', 'inherit', 'pipe'],
        env: daemonEnvironment(),
      },
    );
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    this.#exit = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (status, signal) => {
        this.#exitStatus = status ?? 128;
        if (signal !== null) this.#log += `ended by ${signal}\n`;
        resolve(this.#exitStatus);
      });
    });
    opened(this);
  }

  /** Resolves when its first bytes have been read. @throws Error with the daemon's log when it does not come to that. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const daemon = Daemon.launch(options);
    try {
      await daemon.ready(options.readyWithinMs);
    } catch (error) {
      await daemon.close();
      throw error;
    }
    return daemon;
  }

  /** Starts it without waiting: for mounts that are meant to fail or to take their time. */
  static launch(options: DaemonOptions): Daemon {
    return new Daemon(options);
  }

  async ready(withinMs?: number): Promise<void> {
    await this.says('tetherfs: ready', withinMs);
  }

  /** Resolves when a line of its log has that. A line is there a moment after what it tells of. @throws Error when it ends before. */
  async says(words: string | RegExp, withinMs = 60_000): Promise<void> {
    const said = () => (typeof words === 'string' ? this.#log.includes(words) : words.test(this.#log));
    await waitUntil(`the daemon of ${this.mountpoint} says ${words}`, () => said() || this.#exitStatus !== undefined, {
      timeoutMs: withinMs,
    });
    if (!said()) throw new Error(`tetherfs ended with ${this.#exitStatus}:\n${this.#log}`);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What it has logged so far. */
  get log(): string {
    return this.#log;
  }

  /** Resolves with the exit status once it has ended. */
  get ended(): Promise<number> {
    return this.#exit;
  }

  status(): Promise<Status> {
    return readStatus(controlPathOf(this.mountpoint));
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** SIGKILL, as a crash has it; resolves when it is gone. Its mount stays until the clean-up, dead or passing through. */
  async kill(): Promise<void> {
    this.#killed = true;
    this.signal('SIGKILL');
    await this.#exit;
  }

  /** SIGTERM, and more when that has not ended it in time. @returns the exit status. @throws Error when it took more, or the mount was left. */
  async close(): Promise<number> {
    const wrong = await this.#end();
    if (wrong !== undefined) throw new Error(wrong);
    return this.#exit;
  }

  /** Ends it in whatever state it is, under its readers as well; what was wrong with that is said when the test has not failed anyway. */
  async [Symbol.asyncDispose](): Promise<void> {
    const wrong = await this.#end();
    if (wrong !== undefined) complain(wrong);
  }

  /** @returns what was wrong. */
  async #end(): Promise<string | undefined> {
    // A second SIGTERM ends the mount under its users.
    const ends = await this.#endedBy('SIGTERM', 10_000);
    if (!ends) (await this.#endedBy('SIGTERM', 3_000)) || (await this.#endedBy('SIGKILL', 10_000));
    closed(this);
    const left = isMounted(this.mountpoint);
    if (left) execFileSync('umount', ['--lazy', this.mountpoint]);
    // Who was killed could not remove it.
    if (this.#killed || !ends) rmSync(controlPathOf(this.mountpoint), { force: true });
    if (!ends) return `tetherfs did not end within 10 s of SIGTERM; its log:\n${this.#log}`;
    if (left && !this.#killed) return `tetherfs left its mount on ${this.mountpoint}`;
    return undefined;
  }

  async #endedBy(name: NodeJS.Signals, withinMs: number): Promise<boolean> {
    this.signal(name);
    const over = new AbortController();
    const impatience = delay(withinMs, false, { signal: over.signal }).catch(() => false);
    const ended = await Promise.race([this.#exit.then(() => true), impatience]);
    over.abort();
    return ended;
  }
}

/** Whether a tetherfs mount is there, dead or alive. Asks the kernel's list, not the mount. */
export function isMounted(mountpoint: string): boolean {
  return tetherfsMounts().some((mount) => mount.mountpoint === mountpoint);
}

/** scripts/test-sanitizers names a library to preload and an addon to load, for the daemon alone. */
function daemonEnvironment(): NodeJS.ProcessEnv {
  // The tests' own: their many readers at once each need a thread.
  const { UV_THREADPOOL_SIZE: _, ...environment } = process.env;
  const { TETHERFS_TEST_PRELOAD: preload, TETHERFS_TEST_ADDON: addon } = environment;
  if (preload === undefined || addon === undefined) return environment;
  return { ...environment, LD_PRELOAD: preload, TETHERFS_ADDON: addon };
}
