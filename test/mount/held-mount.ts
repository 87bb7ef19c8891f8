/**
 * A mount in the background, as a machine's boot makes it: `tetherfs mount`, the daemon, and the holder that stands behind it. Nothing of it is
 * our child, so what became of it is asked of /proc. Closing it takes down whatever is left.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readStatus } from '../../src/mount/control-client.ts';
import { controlOf } from '../../src/mount/control-path.ts';
import type { Status } from '../../src/mount/status.ts';
import { isMounted, tetherfsCommand } from '../support/daemon.ts';
import { connectionOf } from '../support/fuse-connection.ts';
import { allProcesses, isRunning, parentOf, signal } from '../support/process-tree.ts';
import { closed, opened } from '../support/teardown.ts';
import { transport, transportOptions } from '../support/transport.ts';
import { waitUntil } from '../support/wait-until.ts';

const run = promisify(execFile);
const socketLeft = 'its control socket';

export interface HeldMountOptions {
  urls: readonly string[];
  /** An empty directory. */
  mountpoint: string;
  /** Further options of `tetherfs mount`. */
  options?: readonly string[];
  /** The program to mount with; ours when absent. */
  command?: string;
  /** Runs the command line until it has ended. */
  start?: (command: string, words: readonly string[]) => Promise<unknown>;
}

export class HeldMount implements AsyncDisposable {
  readonly mountpoint: string;
  /** Its control socket. */
  readonly control: string;
  /** The one file in it. */
  readonly file: string;
  /** Process ids as they were at first. A mount by libfuse has no holder: then both are the daemon's. */
  readonly daemon: number;
  readonly holder: number;
  /** Its directory in /sys/fs/fuse/connections. */
  readonly connection: string;

  private constructor(mountpoint: string, control: string, daemon: number) {
    this.mountpoint = mountpoint;
    this.control = control;
    this.file = join(mountpoint, 'rootimg.sfs');
    this.daemon = daemon;
    this.holder = transport === 'libfuse' ? daemon : (parentOf(daemon) ?? 0);
    this.connection = connectionOf(mountpoint);
    opened(this);
  }

  static async make({ urls, mountpoint, options = [], command, start = run }: HeldMountOptions): Promise<HeldMount> {
    await start(command ?? tetherfsCommand, ['mount', ...transportOptions, ...options, ...urls, mountpoint]);
    const control = controlOf(mountpoint);
    const { pid } = await readStatus(control);
    return new HeldMount(mountpoint, control, pid);
  }

  status(): Promise<Status> {
    return readStatus(this.control);
  }

  /** The daemon after `pid`: another process that answers. */
  successorOf(pid: number, timeoutMs = 10_000): Promise<Status> {
    const probe = async () => {
      const found = await this.status();
      return found.pid !== pid && found;
    };
    return waitUntil('a successor answers', probe, { timeoutMs });
  }

  /** `tetherfs` with these words. */
  run(...words: string[]): Promise<{ stdout: string; stderr: string }> {
    return run(tetherfsCommand, words);
  }

  takeOver(): Promise<unknown> {
    return this.run('takeover', this.mountpoint);
  }

  /** Ends the connection under everybody, as an administrator does when nothing else helps. Harmless when it has ended. */
  abort(): void {
    try {
      writeFileSync(`${this.connection}/abort`, '1');
    } catch {
      // It has gone.
    }
  }

  /** What there still is of it, in words: nothing, when all is over. */
  leftovers(): string[] {
    const processes = [this.daemon, this.holder].filter((pid) => existsSync(`/proc/${pid}`));
    return [
      ...processes.map((pid) => `process ${pid} (${isRunning(pid) ? 'alive' : 'zombie'})`),
      ...(isMounted(this.mountpoint) ? ['the mount'] : []),
      ...(existsSync(this.connection) ? ['its connection'] : []),
      ...(existsSync(this.control) ? [socketLeft] : []),
    ];
  }

  /** Unmounted properly when it can be; in any case gone afterwards, whatever a failed test left. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (isMounted(this.mountpoint)) {
      await run(tetherfsCommand, ['unmount', '--lazy', this.mountpoint], { timeout: 5_000 }).catch(() => {});
    }
    // Who was killed could not remove the socket.
    const over = () => this.leftovers().every((what) => what === socketLeft);
    try {
      await waitUntil('daemon and holder have ended', over);
    } catch {
      this.abort();
      await waitUntil('they have ended', over).catch(() => this.#kill());
    }
    closed(this);
    rmSync(this.control, { force: true });
  }

  #kill(): void {
    const inherited = allProcesses().filter((pid) => isDaemonOf(pid, this.mountpoint));
    for (const pid of [this.holder, this.daemon, ...inherited]) signal(pid, 'SIGKILL');
    if (isMounted(this.mountpoint)) execFileSync('umount', ['--lazy', this.mountpoint]);
  }
}

/** Arguments of a process. Empty when it has gone, is a zombie, or of the kernel. */
export function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return [];
  }
}

function isDaemonOf(pid: number, mountpoint: string): boolean {
  const words = argumentsOf(pid);
  return words.includes('daemon') && words.includes(mountpoint);
}
