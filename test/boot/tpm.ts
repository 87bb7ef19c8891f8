/** The TPM of a machine: swtpm, that QEMU talks to. What it keeps outlives the machine's being switched off. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { closed, opened } from '../support/teardown.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';

export class MachineTpm implements AsyncDisposable {
  readonly #directory = makeTempDir('tpm');
  readonly #children: { child: ChildProcess; ended: Promise<unknown> }[] = [];

  constructor() {
    mkdirSync(join(this.#directory.path, 'state'));
    opened(this);
  }

  /** For one time that the machine is switched on. @returns words for QEMU. */
  async switchOn(): Promise<string[]> {
    const socket = join(this.#directory.path, `socket-${this.#children.length}`);
    const state = join(this.#directory.path, 'state');
    const words = [
      'socket',
      '--tpm2',
      '--tpmstate',
      `dir=${state}`,
      '--ctrl',
      `type=unixio,path=${socket}`,
      '--terminate',
    ];
    const child = spawn('swtpm', words, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.#children.push({ child, ended: new Promise((resolve) => child.on('exit', resolve)) });
    await waitUntil('swtpm is there', () => existsSync(socket));
    return [
      ...['-chardev', `socket,id=tpm,path=${socket}`, '-tpmdev', 'emulator,id=tpm0,chardev=tpm'],
      ...['-device', 'tpm-tis,tpmdev=tpm0'],
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child, ended } of this.#children) {
      child.kill('SIGKILL');
      await ended;
    }
    closed(this);
    this.#directory.remove();
  }
}
