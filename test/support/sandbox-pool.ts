/**
 * Vitest's worker processes, each in a sandbox of its own (scripts/sandbox): its file meets no mount, process, address or control socket of another's, so files can
 * run side by side. What a file leaves goes with its sandbox, after test/support/leftovers.ts has looked.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PoolOptions, PoolRunnerInitializer, PoolWorker, WorkerRequest } from 'vitest/node';
import { sharedDirectory } from './temp-dir.ts';

const sandbox = fileURLToPath(new URL('../../scripts/sandbox', import.meta.url));
/** ms until a worker that does not end is killed, its sandbox with it. */
const patience = 10_000;

class SandboxedWorker implements PoolWorker {
  readonly name = 'sandbox';
  /** It can read the files that vitest's own process writes. */
  readonly cacheFs = true;
  readonly #options: PoolOptions;
  readonly #events = new EventEmitter();
  #process: ChildProcess | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  on(event: string, callback: (...args: unknown[]) => void): void {
    this.#events.on(event, callback);
  }

  off(event: string, callback: (...args: unknown[]) => void): void {
    this.#events.off(event, callback);
  }

  send(message: WorkerRequest): void {
    this.#process?.send(message);
  }

  deserialize(data: unknown): unknown {
    return data;
  }

  async start(): Promise<void> {
    const { distPath, env, execArgv, project } = this.#options;
    // What forks would start, and the channel that they have; it goes through the sandbox as any descriptor does.
    const worker = [process.execPath, ...execArgv, join(distPath, 'workers/forks.js')];
    const child = spawn(sandbox, worker, {
      env: { ...env, TETHERFS_TEST_SHARED: sharedDirectory },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    this.#process = child;
    for (const event of ['message', 'exit', 'error']) {
      child.on(event, (...args) => this.#events.emit(event, ...args));
    }
    child.stdout?.pipe(project.vitest.logger.outputStream, { end: false });
    child.stderr?.pipe(project.vitest.logger.errorStream, { end: false });
    await once(child, 'spawn');
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    const impatience = setTimeout(() => child.kill('SIGKILL'), patience);
    child.kill('SIGTERM');
    await ended;
    clearTimeout(impatience);
  }
}

export const sandboxPool: PoolRunnerInitializer = {
  name: 'sandbox',
  createPoolWorker: (options) => new SandboxedWorker(options),
};
