/** What the commands of `tetherfs collective` have in common. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { unreadable } from '../base/given-file.ts';
import type { Administration } from '../collective/administration.ts';
import { defaultPlaces } from '../collective/places.ts';

export interface StateFlags {
  state: string;
}

export function stateCommand(name: string): Command {
  return new Command(name).option('--state <directory>', 'where the member keeps its state', defaultPlaces.state);
}

/** The member's state, for a command beside it. Root is left: what it needs must be loaded and read before. */
export async function openSite(state: string): Promise<Administration> {
  const { openForAdministration } = await import('../collective/administration.ts');
  return openForAdministration(state);
}

/** JSON for programs, a table for people. */
export function print(isJson: boolean, value: unknown, table: () => string): void {
  process.stdout.write(isJson ? `${JSON.stringify(value)}\n` : `${table()}\n`);
}

/** The whole of a file, or of standard input for `-`. @throws UsageError */
export async function readInput(path: string): Promise<string> {
  if (path === '-') return text(process.stdin);
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** Asks twice on the terminal, without showing it. @throws UsageError where there is none, or the two differ. */
export async function askSecret(what: string, instead: string): Promise<string> {
  if (!process.stdin.isTTY) throw new UsageError(`there is no terminal to ask for ${what}: ${instead}`);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    const ask = async (prompt: string) => {
      process.stderr.write(prompt);
      const answer = await terminal.question('');
      process.stderr.write('\n');
      return answer;
    };
    const first = await ask(`${what}: `);
    if (first === '') throw new UsageError(`${what}: nothing was given`);
    if (first !== (await ask('once more: '))) throw new UsageError(`${what}: the two are not the same`);
    return first;
  } finally {
    terminal.close();
  }
}

/** `2026-11-30 08:15:02`, in the local time of whoever looks. */
export function shownTime(ms: number): string {
  const at = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return at.toISOString().slice(0, 19).replace('T', ' ');
}
