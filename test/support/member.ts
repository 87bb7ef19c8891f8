/** A member of a site as a machine has it: `tetherfs collective run`, started by root in directories of its own, with what nodes and people do to it. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { randomCryptText } from '../../src/protocol/crypt-alphabet.ts';
import { GrantNode, grantPort } from '../../src/protocol/grant.ts';
import { nodeHeaders } from '../../src/protocol/headers.ts';
import { onOutput } from './child-output.ts';
import { checkoutCommand } from './daemon.ts';
import { closed, opened } from './teardown.ts';
import { waitUntil } from './wait-until.ts';

const run = promisify(execFile);

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

export interface AskOptions {
  method?: string;
  body?: string;
  headers?: Record<string, string>;
  /** Ours that is asked. */
  host?: string;
}

/** How it is started, where that counts. */
export interface MemberHow {
  /** Program and arguments before its own: of a network namespace. */
  launcher?: readonly string[];
  /** Node.js's own, which its command takes no notice of. */
  nodeFlags?: readonly string[];
  /** Its tree; a new one in memory unless said otherwise. */
  tree?: string;
}

/** Somebody whom every Debian has. */
export const memberUser = 'www-data';

export class MemberServer implements AsyncDisposable {
  readonly state: string;
  readonly tree: string;
  /** PEM file of its authority. */
  readonly ca: string;
  readonly #directory: string;
  readonly #extra: readonly string[];
  readonly #how: MemberHow;
  #child: ChildProcess | undefined;
  #ended: Promise<number> = Promise.resolve(0);
  #said = '';

  private constructor(extra: readonly string[], how: MemberHow = {}) {
    // Where its user can get: /run is the sandbox's own.
    this.#directory = mkdtempSync('/run/member-');
    chmodSync(this.#directory, 0o755);
    this.state = this.path('state');
    this.tree = how.tree ?? this.path('tree');
    this.ca = this.path('ca.pem');
    this.#extra = extra;
    this.#how = how;
  }

  /** @param extra options of `collective run`. */
  static start(...extra: string[]): Promise<MemberServer> {
    return MemberServer.startAs({}, ...extra);
  }

  static async startAs(how: MemberHow, ...extra: string[]): Promise<MemberServer> {
    const member = new MemberServer(extra, how);
    try {
      await member.run();
      writeFileSync(member.ca, await member.cli('ca', 'export', 'tls'));
      return member;
    } catch (error) {
      await member[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Another member of its site, as somebody makes it from a backup on another machine. @param extra options of `collective run`. */
  async copied(...extra: string[]): Promise<MemberServer> {
    const backup = this.path('backup.sqlite');
    await this.cli('backup', backup);
    const copy = new MemberServer(extra);
    await copy.cli('restore', backup);
    rmSync(backup);
    execFileSync('install', ['-m', '600', join(this.state, 'master.key'), join(copy.state, 'master.key')]);
    await copy.run();
    execFileSync('cp', [this.ca, copy.ca]);
    return copy;
  }

  path(name: string): string {
    return join(this.#directory, name);
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** What it has said since it was started last. */
  get said(): string {
    return this.#said;
  }

  /** @throws Error with its words when it does not come to serving. */
  async run(): Promise<void> {
    this.#said = '';
    const places = ['--state', this.state, '--tree', this.tree, '--scratch', this.path('scratch')];
    const { launcher = [], nodeFlags = [] } = this.#how;
    const command = this.#closedCommand();
    const program =
      nodeFlags.length === 0
        ? [command]
        : [process.execPath, ...nodeFlags, join(dirname(dirname(command)), 'src/cli/main.ts')];
    const words = [...launcher, ...program, 'collective', 'run', '--user', memberUser, ...places, ...this.#extra];
    const [first = '', ...others] = words;
    const child = spawn(first, others, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    opened(this);
    onOutput(child, (text) => {
      this.#said += text;
    });
    let status: number | undefined;
    this.#ended = new Promise((resolve) => {
      child.on('close', (code) => {
        status = code ?? 128;
        resolve(status);
      });
    });
    await waitUntil('the member serves', () => /^listens: /m.test(this.#said) || status !== undefined);
    if (status !== undefined) throw new Error(`it ended with ${status}: ${this.#said}`);
  }

  /** The program where its user cannot get, as in a checkout of root's: whatever it needs of that it must have loaded before. */
  #closedCommand(): string {
    const closedDirectory = this.path('closed');
    const checkout = join(closedDirectory, 'checkout');
    if (!existsSync(checkout)) {
      mkdirSync(checkout, { recursive: true });
      chmodSync(closedDirectory, 0o700);
      execFileSync('mount', ['--bind', dirname(dirname(checkoutCommand)), checkout]);
    }
    return join(checkout, 'bin/tetherfs');
  }

  /** @returns its exit status. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    this.#child?.kill(signal);
    const status = await this.#ended;
    closed(this);
    return status;
  }

  /** `tetherfs collective` with these words: what it prints. */
  async cli(...words: string[]): Promise<string> {
    const { stdout } = await run(this.#closedCommand(), ['collective', ...words, '--state', this.state]);
    return stdout;
  }

  /** The same, with that on standard input. */
  cliWith(input: string, ...words: string[]): string {
    return execFileSync(this.#closedCommand(), ['collective', ...words, '--state', this.state], {
      input,
      encoding: 'utf8',
      stdio: 'pipe',
    });
  }

  /** Makes a profile: files by their paths, in the public part, or in the private one below `private/`. */
  profile(name: string, files: Record<string, string>): void {
    for (const [path, text] of Object.entries(files)) {
      const part = path.startsWith('private/') ? 'private/os' : 'public/os';
      const file = join(this.tree, part, name, path.replace(/^private\//, ''));
      mkdirSync(join(file, '..'), { recursive: true });
      writeFileSync(file, text);
    }
    execFileSync('chown', ['-R', memberUser, this.tree]);
  }

  /** A node, armed, with a key that has been granted and not used. */
  async nodeWithKey(node: string, ...attributes: string[]): Promise<string> {
    await this.cli('node', 'add', node, ...attributes);
    await this.cli('node', 'arm', node, 'once');
    const key = await askForKey(node);
    if (key === undefined) throw new Error(`${node} got no key: ${this.said}`);
    return key;
  }

  /** Asks its API as a node. */
  async ask(path: string, node: string, key: string, options: AskOptions = {}): Promise<Answer> {
    return this.askAnybody(`/confluent-api/self/${path}`, {
      ...options,
      headers: { ...nodeHeaders(node, key), ...options.headers },
    });
  }

  askAnybody(
    path: string,
    { method = 'GET', body, headers = {}, host = '127.0.0.1' }: AskOptions = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest(
        { host, port: 443, path, method, headers, ca: readFileSync(this.ca), agent: false },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (piece: string) => {
            text += piece;
          });
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
          );
        },
      );
      request.on('error', reject).end(body);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child?.exitCode === null) {
      const impatience = setTimeout(() => this.#child?.kill('SIGKILL'), 15_000);
      await this.end();
      clearTimeout(impatience);
    }
    if (existsSync(this.path('closed/checkout'))) execFileSync('umount', ['--lazy', this.path('closed/checkout')]);
    rmSync(this.#directory, { recursive: true });
  }
}

export interface GrantOptions {
  /** Ours that it comes from; the member's. */
  from?: string;
  to?: string;
  token?: string;
  /** A port that root alone can have, unless said otherwise. */
  port?: number;
  /** What it sends in the place of its hash. */
  hash?: string;
}

let ports = 600;

/** A new key of 32 characters, and its crypt(3) text. */
export function newKey(): { key: string; hash: string } {
  const key = randomCryptText(24);
  const hash = execFileSync('openssl', ['passwd', '-5', '-stdin'], { input: `${key}\n`, encoding: 'utf8' }).trim();
  return { key, hash };
}

/** Asks for a key as clortho does. @returns it; undefined when it was refused. */
export function askForKey(
  node: string,
  { from = '127.0.0.1', to = '127.0.0.1', token, port, hash }: GrantOptions = {},
): Promise<string | undefined> {
  const made = newKey();
  const side = new GrantNode(node, hash ?? made.hash, token === undefined ? undefined : Buffer.from(token));
  ports = ports < 999 ? ports + 1 : 601;
  return new Promise((resolve, reject) => {
    const socket = connect({ host: to, port: grantPort, localAddress: from, localPort: port ?? ports });
    let granted = false;
    socket.on('data', (bytes: Buffer) => {
      const { send, verdict } = side.receive(bytes);
      if (send !== undefined) socket.write(send);
      granted = verdict === 'granted';
      if (verdict !== undefined) socket.end();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
    socket.on('close', () => resolve(granted ? made.key : undefined));
  });
}
