/** A web server of another kind than nginx.ts', run in the foreground from a configuration of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onOutput } from './child-output.ts';
import { plainGet } from './plain-http.ts';
import { closed, opened } from './teardown.ts';
import { makeTempDir, type TempDir } from './temp-dir.ts';
import { waitUntil } from './wait-until.ts';

export interface ServerProgramOptions {
  /** Program and arguments; `CONFIG` stands for the configuration file. */
  command: readonly [string, ...string[]];
  /** @param directory of its own, for what it writes. @returns the text of its configuration. */
  config: (directory: string) => string;
  /** What it answers when it is ready, whatever the status. */
  url?: string;
  /** Of one that speaks no HTTP. */
  ready?: () => Promise<unknown>;
}

export class ServerProgram implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #directory: TempDir;
  readonly #ended: Promise<unknown>;

  private constructor(child: ChildProcess, directory: TempDir) {
    this.#child = child;
    this.#directory = directory;
    this.#ended = new Promise((resolve) => child.on('exit', resolve).on('error', resolve));
    opened(this);
  }

  /** @throws Error with its own words when it does not start. */
  static async start({ command, config, url = '', ready }: ServerProgramOptions): Promise<ServerProgram> {
    const directory = makeTempDir('server');
    const file = join(directory.path, 'config');
    writeFileSync(file, config(directory.path));
    const [program, ...words] = command;
    const child = spawn(
      program,
      words.map((word) => (word === 'CONFIG' ? file : word)),
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const server = new ServerProgram(child, directory);
    let said = '';
    onOutput(child, (text) => {
      said += text;
    });
    let over = false;
    void server.#ended.then(() => {
      over = true;
    });
    try {
      await waitUntil(
        `${program} answers`,
        async () => over || (await (ready?.() ?? plainGet(url, { timeoutMs: 1_000 }))),
      );
      if (over) throw new Error(`${program} did not start: ${said}`);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGTERM');
    const impatience = setTimeout(() => this.#child.kill('SIGKILL'), 5_000);
    await this.#ended;
    clearTimeout(impatience);
    closed(this);
    this.#directory.remove();
  }
}
