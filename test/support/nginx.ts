/**
 * A member of the collective: a real nginx, with the accidents that befall servers. `kill` and `stop` strike all of its
 * processes at once, as a machine's end does; nothing here sleeps and hopes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  generationPath,
  type LoggedRequest,
  type NginxOptions,
  nginxConfig,
  parseAccessLog,
  statusPath,
} from './nginx-config.ts';
import { plainGet } from './plain-http.ts';
import { childrenOf, commandLine, isRunning, isStopped, signal } from './process-tree.ts';
import { makeTempDir, type TempDir } from './temp-dir.ts';
import { waitUntil } from './wait-until.ts';

export class Nginx implements AsyncDisposable {
  #options: NginxOptions;
  #generation = 0;
  #master: ChildProcess | undefined;
  readonly #prefix: TempDir = makeTempDir('nginx');

  private constructor(options: NginxOptions) {
    this.#options = options;
  }

  /** Resolves when it answers. @throws Error with nginx's own words when it does not start. */
  static async start(options: NginxOptions): Promise<Nginx> {
    const nginx = new Nginx(options);
    try {
      await nginx.restart();
    } catch (error) {
      await nginx.close();
      throw error;
    }
    return nginx;
  }

  /** The URL of a path below /confluent-public/. */
  url(path: string, scheme: 'http' | 'https' = 'http'): string {
    return `${this.#origin(scheme)}/confluent-public/${path}`;
  }

  get address(): string {
    return this.#options.address;
  }

  /** The master and its workers, while they run. */
  get processes(): number[] {
    const pid = this.#master?.pid;
    return pid === undefined || !isRunning(pid) ? [] : [pid, ...childrenOf(pid)];
  }

  /** Starts it (again) after `kill`, with other options if given. */
  async restart(changes: Partial<NginxOptions> = {}): Promise<void> {
    await this.kill();
    this.#writeConfig(changes);
    const { path } = this.#prefix;
    const [command = 'nginx', ...args] = [
      ...(this.#options.launcher ?? []),
      ...['nginx', '-p', path, '-c', this.#configFile, '-e', join(path, 'error.log')],
    ];
    const master = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#master = master;
    let words = '';
    let gone: string | undefined;
    master.stderr.setEncoding('utf8').on('data', (text: string) => {
      words += text;
    });
    master.on('error', (error) => {
      gone = error.message;
    });
    master.on('exit', (status) => {
      gone = `exit status ${status}: ${words.trim()}`;
    });
    await waitUntil(`nginx answers on ${this.address}`, async () => {
      if (gone !== undefined) return { gone };
      return (await this.#answers()) && { gone };
    });
    if (gone !== undefined) throw new Error(`nginx did not start on ${this.address}: ${gone}`);
  }

  /** Serves with other options from now on; connections that are busy end as they began. Resolves when no old worker accepts. */
  async reload(changes: Partial<NginxOptions>): Promise<void> {
    const old = this.processes.slice(1);
    this.#writeConfig(changes);
    for (const pid of this.processes.slice(0, 1)) signal(pid, 'SIGHUP');
    await waitUntil(
      `nginx on ${this.address} has reloaded`,
      async () => old.every((pid) => !isRunning(pid) || isShuttingDown(pid)) && (await this.#answers()),
    );
  }

  /** SIGKILL to all its processes; resolves when the last is gone and its port refuses. More than once does no harm. */
  async kill(): Promise<void> {
    const [master] = this.processes;
    if (master === undefined) return;
    // A stopped master cannot replace its workers while they are counted.
    signal(master, 'SIGSTOP');
    await waitUntil(`nginx's master on ${this.address} stands still`, () => isStopped(master) || !isRunning(master));
    const all = this.processes;
    for (const pid of all) signal(pid, 'SIGKILL');
    await waitUntil(`nginx on ${this.address} is dead`, () => !all.some(isRunning));
  }

  /** SIGSTOP to all its processes: connections are accepted by the kernel and answered by nobody. */
  async stop(): Promise<void> {
    const all = this.processes;
    for (const pid of all) signal(pid, 'SIGSTOP');
    await waitUntil(`nginx on ${this.address} stands still`, () => all.every(isStopped));
  }

  /** Goes on after `stop`. */
  cont(): void {
    for (const pid of this.processes.reverse()) signal(pid, 'SIGCONT');
  }

  /** The requests answered (or given up) since the start or the last `forget`, but for one whose answer has only just come: it is written after that. */
  requests(): LoggedRequest[] {
    return parseAccessLog(readFileSync(join(this.#prefix.path, 'access.log'), 'utf8'));
  }

  forget(): void {
    truncateSync(join(this.#prefix.path, 'access.log'));
  }

  /** Requests it is reading or answering at this moment. Must not be stopped. */
  async inFlight(): Promise<number> {
    const { body } = await plainGet(`${this.#anyOrigin}${statusPath}`, this.#trust);
    const [, reading = 0, writing = 0] = /Reading: (\d+) Writing: (\d+)/.exec(body.toString()) ?? [];
    // One of them is this question.
    return Number(reading) + Number(writing) - 1;
  }

  async close(): Promise<void> {
    await this.kill();
    this.#prefix.remove();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #configFile(): string {
    return join(this.#prefix.path, 'nginx.conf');
  }

  get #trust(): { ca?: string; timeoutMs: number } {
    const { certificate } = this.#options;
    // Its own certificate is all that it takes to believe that it is itself.
    return {
      timeoutMs: 1_000,
      ...(certificate === undefined ? {} : { ca: readFileSync(certificate.certificateFile, 'utf8') }),
    };
  }

  get #anyOrigin(): string {
    return this.#origin(this.#options.httpPort === 0 ? 'https' : 'http');
  }

  #origin(scheme: 'http' | 'https'): string {
    const { address, httpPort = 80, httpsPort = 443 } = this.#options;
    const port = scheme === 'http' ? httpPort : httpsPort;
    return `${scheme}://${address}${port === (scheme === 'http' ? 80 : 443) ? '' : `:${port}`}`;
  }

  #writeConfig(changes: Partial<NginxOptions>): void {
    this.#options = { ...this.#options, ...changes };
    writeFileSync(this.#configFile, nginxConfig(this.#prefix.path, this.#options, ++this.#generation));
  }

  /** True when the newest configuration answers. */
  async #answers(): Promise<boolean> {
    const { body } = await plainGet(`${this.#anyOrigin}${generationPath}`, this.#trust);
    return body.toString() === String(this.#generation);
  }
}

/** nginx writes over its arguments what a worker is doing. */
function isShuttingDown(pid: number): boolean {
  return commandLine(pid).includes('shutting down');
}
