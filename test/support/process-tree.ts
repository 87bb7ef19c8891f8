/** A process and its children, as /proc tells them: enough to kill, stop and continue a server as a whole. */
import { readdirSync, readFileSync } from 'node:fs';

/** The direct children of a process. Asked of each process: /proc/PID/task/PID/children misses some while others end (proc(5)). */
export function childrenOf(pid: number): number[] {
  return allProcesses().filter((child) => parentOf(child) === pid);
}

/** False once the process has ended, reaped or not: its sockets and files are closed. */
export function isRunning(pid: number): boolean {
  return processState(pid) !== undefined && processState(pid) !== 'Z';
}

/** True when SIGSTOP has taken effect. */
export function isStopped(pid: number): boolean {
  return processState(pid) === 'T';
}

/** What `ps` shows: the arguments, or what the process has written over them. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

/** Process ids of everything in this pid namespace. */
export function allProcesses(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** The parent's process id; undefined when the process has gone. */
export function parentOf(pid: number): number | undefined {
  const parent = statFields(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** Sends a signal; one that has gone already is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}

/** One letter as in proc(5): R, S, D, T, Z, … */
function processState(pid: number): string | undefined {
  return statFields(pid)?.[0];
}

/** The fields of /proc/PID/stat after the command's name, which may itself hold blanks and parentheses. */
function statFields(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
