/**
 * How a process of ours is started that outlives its caller or must not depend on it: the daemon, its holder, its successors, and what reads our own
 * mount. Nothing of the caller's goes along but what is named here: no directory, no descriptor, no variable, no flag of Node.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { nodeCommand } from '../base/installation.ts';
import { loadBinding } from '../native/binding.ts';
import { reachMachineRoot } from './machine-root.ts';

/**
 * Node's and V8's flags, the same as in bin/tetherfs, which says why. `--disable-sigusr1`: that signal would open Node's debugger on 127.0.0.1 to
 * every local user.
 */
export const nodeFlags = ['--max-semi-space-size=2', '--disable-sigusr1'];

/** Program and arguments that run our Node.js with these arguments of its own. */
export function nodeWords(words: readonly string[]): [string, ...string[]] {
  const [program, ...loaderWords] = nodeCommand;
  return [program, ...loaderWords, ...nodeFlags, ...words];
}

/**
 * What is passed on: where programs and libraries are (sanitizers and allocators come by LD_PRELOAD), the language of dates and messages, a user's own
 * /run, our own variables. None of Node's own but the folder of compiled code: some of them change whom it trusts.
 */
const passedOn =
  /^(PATH|LD_PRELOAD|LD_LIBRARY_PATH|[A-Z]+SAN_OPTIONS|LANG|LC_[A-Z]+|TZ|XDG_RUNTIME_DIR|NODE_COMPILE_CACHE|TETHERFS_.*)$/;

/** `program` in `/`, with descriptors and variables of its own. Whatever it opens must be named by an absolute path. */
export function spawnClean([program, ...words]: [string, ...string[]], options: SpawnOptions): ChildProcess {
  reachMachineRoot();
  loadBinding().closeOnExec();
  return spawn(program, words, { ...options, cwd: '/', env: cleanEnvironment(process.env) });
}

function cleanEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => passedOn.test(name)));
}
