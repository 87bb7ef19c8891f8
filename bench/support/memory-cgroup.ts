/** A memory control group of the bench's own, of version 1 or 2: what the kernel charges the processes in it. Root only. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const versions = [
  { parent: '/sys/fs/cgroup/memory', usage: 'memory.usage_in_bytes', anonymous: 'rss', file: 'cache' },
  { parent: '/sys/fs/cgroup', usage: 'memory.current', anonymous: 'anon', file: 'file' },
];

/** What a group is charged, in bytes. */
export interface MemoryCharges {
  /** Heaps and stacks. */
  anonymous: number;
  /** Memory files: the arena and the RAM file. */
  shared: number;
  /** Pages of files and block devices. */
  pageCache: number;
  /** All of it, and what the kernel keeps for it. */
  total: number;
}

export interface MemoryCgroup extends AsyncDisposable {
  /** What the process allocates from now on is charged to the group; what it has stays where it is. */
  add(pid: number): void;
  /** Bytes charged now, page cache included. */
  usage(): number;
  charges(): MemoryCharges;
  /** We, and what we start, are charged to it from now on; until `leave`. */
  enter(): void;
  leave(): void;
}

/** Undefined where there is no memory controller to be had. */
export function makeMemoryCgroup(): MemoryCgroup | undefined {
  for (const { parent, usage, anonymous, file } of versions) {
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
    const used = () => Number(readFileSync(`${directory}/${usage}`, 'utf8'));
    const leave = () => writeFileSync(`${parent}/cgroup.procs`, String(process.pid));
    return {
      add: (pid) => writeFileSync(`${directory}/cgroup.procs`, String(pid)),
      usage: used,
      charges() {
        const stat = readFileSync(`${directory}/memory.stat`, 'utf8');
        const bytes = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
        const shared = bytes('shmem');
        return { anonymous: bytes(anonymous), shared, pageCache: bytes(file) - shared, total: used() };
      },
      enter: () => writeFileSync(`${directory}/cgroup.procs`, String(process.pid)),
      leave,
      async [Symbol.asyncDispose]() {
        leave();
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
