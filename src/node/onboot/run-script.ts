/** A script or program that a node runs once it has booted: what it prints goes to the journal. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { errorCode, TetherfsError } from '../../base/errors.ts';

export interface ScriptOptions {
  cwd: string;
  /** Beside what this process has. */
  env: Readonly<Record<string, string>>;
  signal: AbortSignal;
  /** Told from time to time that it goes on. */
  say: (line: string) => void;
}

/** It is said that a script still runs after so long, and again each time that it has become twice as long; ms. */
const firstSaidMs = 60_000;

/** @throws TetherfsError SCRIPT when it ends in failure, or cannot be run. */
export async function runScript(path: string, options: ScriptOptions): Promise<void> {
  const status = await runProgram(path, [], options).catch((error: unknown) => {
    // Without "#!" it is for a shell.
    if (errorCode(error) === 'ENOEXEC') return runProgram('/bin/sh', [path], options);
    throw error;
  });
  if (status !== '') throw new TetherfsError('SCRIPT', status);
}

/** @returns how it has failed; empty when it has not. */
function runProgram(program: string, words: string[], { cwd, env, signal, say }: ScriptOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    // Where we say our own lines the console listens.
    const child = spawn(program, words, {
      cwd,
      env: { ...outerEnvironment(), ...env },
      stdio: ['ignore', 1, 1],
      signal,
    });
    const began = performance.now();
    let saidMs = firstSaidMs;
    const timer = setInterval(() => {
      const ms = performance.now() - began;
      if (ms < saidMs) return;
      saidMs *= 2;
      say(`still runs, after ${Math.round(ms / 1000)} s (process ${child.pid})`);
    }, 1_000);
    child.on('error', (error) => {
      clearInterval(timer);
      reject(error);
    });
    child.on('exit', (status, killer) => {
      clearInterval(timer);
      if (killer !== null) resolve(`killed by ${killer} (${constants.signals[killer]})`);
      else resolve(status === 0 ? '' : `exit status ${status}`);
    });
  });
}

/** Without what is between systemd, Node.js and us. */
function outerEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:NODE_|NOTIFY_SOCKET$)/.test(name)));
}
