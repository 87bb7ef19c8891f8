/** A TPM 2.0 in software (swtpm) on loopback of a network namespace. What it keeps outlives its being switched off; what was measured does not. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { onOutput } from './child-output.ts';
import { closed, opened } from './teardown.ts';
import { makeTempDir, type TempDir } from './temp-dir.ts';
import { waitUntil } from './wait-until.ts';

const run = promisify(execFile);
const port = 2_321;

export class SoftwareTpm implements AsyncDisposable {
  readonly #directory: TempDir = makeTempDir('swtpm');
  readonly #netns: string;
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  private constructor(netns: string) {
    this.#netns = netns;
    opened(this);
  }

  static async start(netns: string): Promise<SoftwareTpm> {
    const tpm = new SoftwareTpm(netns);
    await tpm.switchOn();
    return tpm;
  }

  /** For tpm2-tools. */
  readonly environment = { TPM2TOOLS_TCTI: `swtpm:host=127.0.0.1,port=${port}` };

  /** Its machine is switched on: nothing has been measured yet. */
  async switchOn(): Promise<void> {
    const words = [
      ...['netns', 'exec', this.#netns, 'swtpm', 'socket', '--tpm2', '--tpmstate', `dir=${this.#directory.path}`],
      ...['--server', `type=tcp,port=${port},bindaddr=127.0.0.1`],
      ...['--ctrl', `type=tcp,port=${port + 1},bindaddr=127.0.0.1`, '--flags', 'not-need-init,startup-clear'],
    ];
    const child = spawn('ip', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    onOutput(child, (text) => {
      said += text;
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => child.on('exit', resolve));
    await waitUntil('the TPM answers', async () => {
      if (child.exitCode !== null) throw new Error(`swtpm did not start: ${said}`);
      return this.tool('getrandom', ['--hex', '4']).catch(() => undefined);
    });
  }

  async switchOff(): Promise<void> {
    await this.tool('shutdown', ['--clear']);
    this.#child?.kill('SIGKILL');
    await this.#ended;
  }

  async restart(): Promise<void> {
    await this.switchOff();
    await this.switchOn();
  }

  /** Runs tpm2_NAME. @returns what it printed. @throws Error of execFile */
  tool(name: string, words: readonly string[]): Promise<string> {
    return this.#run(`tpm2_${name}`, words);
  }

  /** Runs lines of sh that call tpm2-tools, as other programs would. @returns what they printed. @throws Error of execFile */
  script(lines: string): Promise<string> {
    return this.#run('sh', ['-ec', lines]);
  }

  async #run(program: string, words: readonly string[]): Promise<string> {
    const { stdout } = await run('ip', ['netns', 'exec', this.#netns, program, ...words], {
      env: { ...process.env, ...this.environment },
      cwd: this.#directory.path,
    });
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#ended;
    closed(this);
    this.#directory.remove();
  }
}
