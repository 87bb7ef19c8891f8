/** What went over a network, kept by dumpcap and decrypted by tshark with the keys that Node.js has written down (--tls-keylog). */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitUntil } from '../../test/support/wait-until.ts';

export class Capture implements AsyncDisposable {
  readonly file: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(file: string, child: ChildProcess) {
    this.file = file;
    this.#child = child;
    this.#ended = new Promise((resolve) => child.on('exit', resolve));
  }

  /** Of one port of TCP. @param file in a directory of root's: dumpcap gives up its other rights. */
  static async start(device: string, port: number, file: string): Promise<Capture> {
    const child = spawn('dumpcap', ['-q', '-i', device, '-f', `tcp port ${port}`, '-w', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const capture = new Capture(file, child);
    await waitUntil('it listens', () => /^File: /m.test(said) || child.exitCode !== null);
    if (child.exitCode !== null) throw new Error(`dumpcap: ${said}`);
    return capture;
  }

  async end(): Promise<void> {
    this.#child.kill('SIGINT');
    await this.#ended;
  }

  /** Bodies of HTTP, decrypted. @param keys file of NSS key log lines. */
  bodies(keys: string, directory: string): { name: string; bytes: Buffer }[] {
    mkdirSync(directory, { recursive: true });
    this.#tshark(keys, '--export-objects', `http,${directory}`, '-Q');
    return readdirSync(directory).map((name) => ({ name, bytes: readFileSync(join(directory, name)) }));
  }

  /** Connections whose data the keys do not open, by number. */
  undecrypted(keys: string): string[] {
    const streams = (filter: string) => {
      const text = this.#tshark(keys, '-Y', filter, '-T', 'fields', '-e', 'tcp.stream');
      return new Set(text.split('\n').filter((line) => line !== ''));
    };
    const opened = streams('http');
    return [...streams('tls.app_data')].filter((stream) => !opened.has(stream));
  }

  /** @returns what it prints. */
  #tshark(keys: string, ...words: string[]): string {
    const all = ['-r', this.file, '-o', `tls.keylog_file:${keys}`, ...words];
    return execFileSync('tshark', all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}
