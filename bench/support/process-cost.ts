/** What a process has cost so far. */
import { readFileSync } from 'node:fs';

export interface ProcessCost {
  /** Seconds of processor time, all threads. */
  cpu: number;
  /** MB, shared pages in equal parts (smaps_rollup of proc(5)). */
  pss: number;
}

/** Clock ticks of proc(5) in a second: the same on every architecture that Linux tells user space about. */
const ticks = 100;

export function processCost(pid: number): ProcessCost {
  // The name may hold blanks and brackets: what follows it counts from the last.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, kernel] = [fields[11], fields[12]].map(Number);
  const pss = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
  return { cpu: ((user ?? 0) + (kernel ?? 0)) / ticks, pss: (Number(pss) * 1024) / 1e6 };
}
