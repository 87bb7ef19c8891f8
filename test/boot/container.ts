/** A Debian whose process 1 is a real systemd, in namespaces of its own beside the members: systemd-nspawn, which shares our network. What it writes goes with it. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onOutput } from '../support/child-output.ts';
import { Overlay } from '../support/overlay.ts';
import { allProcesses, commandLine, parentOf } from '../support/process-tree.ts';
import { closed, opened } from '../support/teardown.ts';
import { waitUntil } from '../support/wait-until.ts';

const checkout = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const patience = { timeoutMs: 120_000 };

export class Container implements AsyncDisposable {
  /** Its root file system, from outside: before it is started. */
  readonly root: string;
  readonly #overlay: Overlay;
  readonly #runtime: string;
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #console = '';

  /** @param lower tree of a Debian with systemd. @param runtime of tetherfs (scripts/build-runtime), which it sees where we do. */
  constructor(lower: string, runtime: string) {
    this.#runtime = runtime;
    this.#overlay = new Overlay(lower);
    this.root = this.#overlay.root;
    opened(this);
    this.link('/usr/bin/tetherfs', `${runtime}/bin/tetherfs`);
    this.link('/sbin/mount.tetherfs', `${runtime}/bin/mount.tetherfs`);
    for (const name of ['tetherfs@.service', 'tetherfs-collective.service', 'mnt-remoteimg.mount'])
      this.write(`/etc/systemd/system/${name}`, readFileSync(join(checkout, 'systemd', name), 'utf8'));
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text, { mode: 0o600 });
  }

  link(path: string, target: string): void {
    rmSync(join(this.root, path), { force: true });
    symlinkSync(target, join(this.root, path));
  }

  /** Resolves when everything that it starts is started, or has failed. */
  async boot(): Promise<void> {
    this.#console = '';
    const child = spawn(
      'systemd-nspawn',
      [
        ...['--directory', this.root, '--boot', '--register=no', '--keep-unit', '--console=read-only'],
        ...['--capability=all', '--bind=/dev/fuse', `--bind-ro=${this.#runtime}`],
        // For a member: a checkout, and what the tree of a node has not.
        ...[`--bind-ro=${checkout}:/opt/tetherfs`, '--bind-ro=/usr/bin/openssl', `--bind-ro=${libatomic()}`],
        ...['systemd.unit=multi-user.target', 'systemd.show_status=1'],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' } },
    );
    this.#child = child;
    this.#ended = new Promise((resolve) => child.on('exit', resolve));
    onOutput(child, (text) => {
      this.#console += text;
    });
    try {
      await waitUntil('systemd answers', () => this.run('systemctl', 'is-system-running').catch(answerOf), patience);
      await this.run('systemctl', 'is-system-running', '--wait').catch(answerOf);
    } catch (cause) {
      throw new Error(`the container does not come up: ${this.#console.slice(-2_000)}`, { cause });
    }
  }

  /** What it printed on standard output. @throws Error of execFile when its exit status is not 0. */
  async run(...words: string[]): Promise<string> {
    const inside = ['--mount', '--pid', '--uts', '--ipc', '--cgroup', '--root', '--wd'];
    const { stdout } = await promisify(execFile)('nsenter', [`--target=${this.#leader()}`, ...inside, '--', ...words], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' },
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  }

  /** @returns what its console said on the way. */
  async powerOff(): Promise<string> {
    const from = this.#console.length;
    await this.run('systemctl', 'poweroff', '--no-block');
    await this.#ended;
    return this.#console.slice(from);
  }

  /** Its process 1, as we number it. */
  #leader(): number {
    const mine = this.#child?.pid;
    const found = allProcesses().find((pid) => parentOf(pid) === mine && /systemd\b(?!-)/.test(commandLine(pid)));
    if (found === undefined) throw new Error('it has no process 1 yet');
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#ended;
    closed(this);
    this.#overlay[Symbol.dispose]();
  }
}

/** Of Node.js, as this machine has it. */
function libatomic(): string {
  const linked = execFileSync('ldd', [process.execPath], { encoding: 'utf8' });
  return /libatomic\.so\.1 => (\S+)/.exec(linked)?.[1] ?? '/usr/lib';
}

/** `systemctl is-system-running` says `degraded` or `starting` with an exit status of 1. */
function answerOf(error: unknown): string | false {
  const { stdout = '' } = error as { stdout?: string };
  return /^(running|degraded|starting|initializing)/.test(stdout) && stdout;
}
