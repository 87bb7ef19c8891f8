/** The root of a node that has booted: what this machine has, in an overlay of its own, where `tetherfs node …` runs in the node's network. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { onOutput } from '../support/child-output.ts';
import { checkoutCommand } from '../support/daemon.ts';
import { Overlay } from '../support/overlay.ts';
import { ServerProgram } from '../support/server-program.ts';
import { answersSsh } from '../support/sshd.ts';
import { netns, nodeAddress } from './neighbours.ts';

const checkout = dirname(dirname(checkoutCommand));

export interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

export class NodeRoot implements Disposable {
  readonly path: string;
  readonly #overlay: Overlay;

  constructor() {
    this.#overlay = new Overlay('/');
    this.path = this.#overlay.root;
    for (const path of ['/dev', '/proc', checkout]) {
      mkdirSync(this.at(path), { recursive: true });
      execFileSync('mount', ['--rbind', path, this.at(path)]);
    }
    // With the devices of whose network it is mounted in.
    execFileSync('nsenter', [`--net=/run/netns/${netns}`, 'mount', '-t', 'sysfs', 'sysfs', this.at('/sys')]);
    mkdirSync(this.at('/run/sshd'), { recursive: true });
  }

  at(path: string): string {
    return join(this.path, path);
  }

  /** Undefined when there is no such file. */
  text(path: string): string | undefined {
    return existsSync(this.at(path)) ? readFileSync(this.at(path), 'utf8') : undefined;
  }

  write(path: string, text: string, mode = 0o644): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    writeFileSync(this.at(path), text, { mode });
  }

  /** What `tetherfs` with these words says there. */
  tetherfs(...words: string[]): Promise<Ended> {
    return this.run([checkoutCommand, ...words]);
  }

  /** A program, in mounts of its own, which go with it. @param onSaid told what it says, as it comes. */
  async run(words: readonly string[], onSaid: (text: string) => void = () => {}): Promise<Ended> {
    const inside = ['netns', 'exec', netns, 'chroot', this.path, 'timeout', '--signal=KILL', '110'];
    const running = promisify(execFile)('ip', [...inside, ...words]);
    onOutput(running.child, onSaid);
    return running.then(
      ({ stdout, stderr }) => ({ status: 0, stdout, stderr }),
      ({ code, stdout, stderr }: Ended & { code: number }) => ({ status: code, stdout, stderr }),
    );
  }

  sshd(): Promise<ServerProgram> {
    return ServerProgram.start({
      command: ['ip', 'netns', 'exec', netns, 'chroot', this.path, '/usr/sbin/sshd', '-D', '-e', '-o', 'UsePAM=no'],
      config: () => '',
      ready: () => answersSsh(nodeAddress),
    });
  }

  [Symbol.dispose](): void {
    this.#overlay[Symbol.dispose]();
  }
}
