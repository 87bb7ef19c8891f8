/**
 * What a boot costs in memory: everything that it does is charged to a memory control group of its own, so that whatever else the machine
 * does is not counted. Only the pages of the file below a loop device are not: the kernel reads them for itself.
 */
import { execFileSync } from 'node:child_process';
import { type MemoryCharges, makeMemoryCgroup } from '../support/memory-cgroup.ts';

/** @param measure gets what reads the charges of the moment, in MB. @throws Error where there is no memory controller. */
export async function charged<T>(measure: (charges: () => MemoryCharges) => Promise<T>): Promise<T> {
  await using group = makeMemoryCgroup();
  if (group === undefined) throw new Error('the kernel has no memory controller to be had');
  group.enter();
  const { anonymous: own } = group.charges();
  try {
    return await measure(() => {
      const { anonymous, shared, pageCache, total } = group.charges();
      return {
        anonymous: (anonymous - own) / 1e6,
        shared: shared / 1e6,
        pageCache: pageCache / 1e6,
        total: total / 1e6,
      };
    });
  } finally {
    group.leave();
  }
}

/** MB of a file that lie in its page cache. Never waits for its reads. */
export function cachedPages(file: string): number {
  return (
    Number(execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', file], { encoding: 'utf8' })) / 1e6
  );
}
