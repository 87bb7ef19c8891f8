/** A DHCP server for the machines that are plugged into a network device. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closed, opened } from '../support/teardown.ts';

export class DhcpServer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = new Promise((resolve) => child.on('close', () => resolve()));
    opened(this);
  }

  /** @param from first of eleven IPv4 addresses. @throws Error with its own words when it does not start. */
  static async start(device: string, from: string): Promise<DhcpServer> {
    const to = from.replace(/\d+$/, (last) => String(Number(last) + 10));
    const child = spawn(
      'dnsmasq',
      [
        ...['--keep-in-foreground', '--conf-file=/dev/null', '--user=root', '--log-facility=-', '--log-dhcp'],
        ...['--port=0', '--bind-interfaces', `--interface=${device}`, `--dhcp-range=${from},${to},5m`],
        ...['--dhcp-leasefile=/dev/null', '--leasefile-ro'],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const server = new DhcpServer(child);
    let words = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        words += text;
        if (/DHCP, sockets bound|DHCP, IP range/.test(words)) resolve();
      });
      child.on('error', reject).on('close', () => reject(new Error(`dnsmasq did not start: ${words}`)));
    });
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#ended;
    closed(this);
  }
}
