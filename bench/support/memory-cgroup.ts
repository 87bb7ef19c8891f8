/** A memory control group of the bench's own, of version 1 or 2: what the kernel charges the processes in it. Root only. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const versions = [
  { parent: '/sys/fs/cgroup/memory', usage: 'memory.usage_in_bytes' },
  { parent: '/sys/fs/cgroup', usage: 'memory.current' },
];

export interface MemoryCgroup extends AsyncDisposable {
  /** What the process allocates from now on is charged to the group; what it has stays where it is. */
  add(pid: number): void;
  /** Bytes charged now, page cache included. */
  usage(): number;
}

/** Undefined where there is no memory controller to be had. */
export function makeMemoryCgroup(): MemoryCgroup | undefined {
  for (const { parent, usage } of versions) {
    const directory = `${parent}/tetherfs-bench-${process.ppid}-${process.pid}`;
    try {
      mkdirSync(directory);
    } catch {
      continue;
    }
    if (!existsSync(`${directory}/${usage}`)) {
      rmdirSync(directory);
      continue;
    }
    return {
      add: (pid) => writeFileSync(`${directory}/cgroup.procs`, String(pid)),
      usage: () => Number(readFileSync(`${directory}/${usage}`, 'utf8')),
      async [Symbol.asyncDispose]() {
        // A process that has just ended is still in it for a moment.
        for (let tries = 0; tries < 100; tries++) {
          try {
            return rmdirSync(directory);
          } catch {
            await sleep(20);
          }
        }
      },
    };
  }
  return undefined;
}
