/** What a child process prints. */
import type { ChildProcess } from 'node:child_process';

/** Told what comes on standard output and standard error, in the order in which it comes. */
export function onOutput(child: ChildProcess, take: (text: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', take);
}
