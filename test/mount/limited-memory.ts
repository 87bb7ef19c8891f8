/** A memory control group with a limit, of version 1 or 2: the kernel takes page cache from those in it, then kills. Root only. */
import { existsSync, mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { signal } from '../support/process-tree.ts';
import { waitUntil } from '../support/wait-until.ts';

const versions = [
  {
    parent: '/sys/fs/cgroup/memory',
    limit: 'memory.limit_in_bytes',
    kills: 'memory.oom_control',
    reclaims: { file: 'memory.failcnt', pattern: /^(\d+)$/m },
  },
  {
    parent: '/sys/fs/cgroup',
    limit: 'memory.max',
    kills: 'memory.events',
    reclaims: { file: 'memory.events', pattern: /^max (\d+)$/m },
  },
];

export class LimitedMemory implements AsyncDisposable {
  /** Words before a command that make it, and what it starts, live within the limit. */
  readonly launcher: readonly string[];
  readonly #directory: string;
  readonly #version: (typeof versions)[number];

  private constructor(directory: string, version: (typeof versions)[number]) {
    this.#directory = directory;
    this.#version = version;
    this.launcher = ['sh', '-c', 'echo $$ >"$0" && exec "$@"', join(directory, 'cgroup.procs')];
  }

  /** Undefined where there is no memory controller to be had. */
  static make(bytes: number): LimitedMemory | undefined {
    for (const version of versions) {
      let directory: string;
      try {
        directory = mkdtempSync(join(version.parent, `tetherfs-test-${process.env['TETHERFS_SANDBOX']}-`));
      } catch {
        continue;
      }
      if (existsSync(join(directory, version.limit))) {
        writeFileSync(join(directory, version.limit), String(bytes));
        return new LimitedMemory(directory, version);
      }
      rmdirSync(directory);
    }
    return undefined;
  }

  /** How many processes were killed for want of memory. */
  get kills(): number {
    return this.#number(this.#version.kills, /^oom_kill (\d+)$/m);
  }

  /** How often memory had to be taken from somebody before it could be had. */
  get reclaims(): number {
    const { file, pattern } = this.#version.reclaims;
    return this.#number(file, pattern);
  }

  /** Ends whatever is left in it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await waitUntil('the group is gone', () => {
      const processes = readFileSync(join(this.#directory, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
      for (const pid of processes) signal(Number(pid), 'SIGKILL');
      rmdirSync(this.#directory);
      return true;
    });
  }

  #number(file: string, pattern: RegExp): number {
    return Number(pattern.exec(readFileSync(join(this.#directory, file), 'utf8'))?.[1]);
  }
}
