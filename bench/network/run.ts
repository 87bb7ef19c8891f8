/** A command that says nothing when all is well. */
import { execFileSync } from 'node:child_process';

/** @throws Error when it fails; its words go to standard error. */
export function run(...words: string[]): void {
  const [command = '', ...args] = words;
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
