/**
 * A machine without a disk: QEMU, without hardware acceleration, with a profile's kernel and initramfs, a network card and a serial console. What it does is
 * told by what its console says, never by the clock: it is some fifteen times slower than the machine that it runs on.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { cpioArchive, padded } from '../../src/base/cpio.ts';
import { onOutput } from '../support/child-output.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import { closed, opened } from '../support/teardown.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';

export interface MachineOptions {
  /** The profile's directory. */
  profile: string;
  /** URLs of the profile on each member. */
  members: readonly string[];
  /** Given to the machine in its initramfs. */
  keyFile?: string;
  /** Of members that are asked for everything else: laid beside its initramfs, as a boot loader does. */
  siteArchive?: string;
  /** Hardware address. */
  mac?: string;
  /** Further kernel arguments. */
  words?: readonly string[];
  /** Name of a tap device. */
  tap: string;
  memoryMiB?: number;
  /** Further words for QEMU. */
  hardware?: readonly string[];
  /** Told what its console says, as it comes. */
  onConsole?: (text: string) => void;
}

/** Where a machine's key lies in its initramfs. */
const keyInside = '/etc/tetherfs/rootimg.key';

/** However slow the emulation is, and the host busy, whoever says nothing for so long has come to a halt. ms. (136 s have been seen of one that went on.) */
const patienceMs = 420_000;
/** … or not what was waited for. */
const longestMs = 840_000;
/** What the kernel says is on the console, too: of a lock that took long, on a host that is busy. */
const kernelLine = /^\[ *\d+\.\d{6}\] .*\r?\n/gm;
/** … and tetherfs-node.service. */
const serviceLine = /^tetherfs\[\d+\]: .*\n/gm;
const lookEveryMs = 20;

export class Machine implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #directory: TempDir;
  readonly #exit: Promise<number>;
  #console = '';
  /** What was waited for lies before it. */
  #seen = 0;
  #commands = 0;
  #ended: number | undefined;

  private constructor(
    directory: TempDir,
    [program, ...words]: readonly [string, ...string[]],
    onConsole: (text: string) => void,
  ) {
    this.#directory = directory;
    this.#child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'] });
    onOutput(this.#child, (text) => {
      const said = text.replaceAll('\r', '');
      this.#console += said;
      onConsole(said);
    });
    this.#exit = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (status) => {
        this.#ended = status ?? 128;
        resolve(this.#ended);
      });
    });
    opened(this);
  }

  /** Switched on by a shell's line that is QEMU's. */
  static startBy(line: string): Machine {
    return new Machine(makeTempDir('machine'), ['sh', '-c', `exec ${line}`], () => {});
  }

  /** Switched on. */
  static async start({
    profile,
    members,
    keyFile,
    siteArchive,
    mac = '52:54:00:12:34:56',
    words = [],
    tap,
    memoryMiB = 2048,
    hardware = [],
    onConsole = () => {},
  }: MachineOptions): Promise<Machine> {
    const directory = makeTempDir('machine');
    const initramfs = join(directory.path, 'initramfs');
    const own = readFileSync(join(profile, 'boot/initramfs/distribution'));
    const key = keyFile === undefined ? {} : { [keyInside.slice(1)]: readFileSync(keyFile) };
    const site = siteArchive === undefined ? [] : [padded(readFileSync(siteArchive))];
    writeFileSync(initramfs, Buffer.concat([padded(own), ...site, cpioArchive(key)]));
    const { stdout } = await promisify(execFile)(tetherfsCommand, [
      ...['profile', 'cmdline', ...(siteArchive === undefined ? [] : ['--api', 'discover'])],
      ...[...members.flatMap((url) => ['--member', url]), profile],
    ]);
    const commandLine = [
      stdout.trim(),
      ...['console=ttyS0', 'panic=-1', 'net.ifnames=0'],
      ...(keyFile === undefined ? [] : [`tetherfs.insecure-key-file=${keyInside}`]),
      ...words,
    ].join(' ');
    const qemu = [
      ...['-M', 'q35', '-cpu', 'max', '-smp', '2', '-m', String(memoryMiB), '-nographic', '-no-reboot'],
      ...['-kernel', join(profile, 'boot/kernel'), '-initrd', initramfs, '-append', commandLine],
      ...[
        '-netdev',
        `tap,id=net,ifname=${tap},script=no,downscript=no`,
        '-device',
        `virtio-net-pci,netdev=net,mac=${mac}`,
      ],
      ...['-device', 'virtio-rng-pci'],
      ...hardware,
    ];
    return new Machine(directory, ['qemu-system-x86_64', ...qemu], onConsole);
  }

  /** Resolves when its console says that, after what was last waited for. @throws Error with the end of the console. */
  async says(words: RegExp): Promise<RegExpExecArray> {
    const began = performance.now();
    let length = -1;
    let since = 0;
    for (;;) {
      const found = words.exec(this.#console.slice(this.#seen));
      if (found !== null) {
        this.#seen += found.index + found[0].length;
        return found;
      }
      if (this.#console.length !== length) {
        length = this.#console.length;
        since = performance.now();
      }
      const silent = performance.now() - since > patienceMs || performance.now() - began > longestMs;
      if (silent || this.#ended !== undefined) {
        const what = silent ? 'says nothing more' : 'has ended';
        throw new Error(`the machine ${what}, and has not said ${words}:\n${this.#console.slice(-3_000)}`);
      }
      await delay(lookEveryMs);
    }
  }

  /** Waits for root's shell on the console. */
  async login(): Promise<void> {
    await this.says(/root@\S+:~# /);
    // What is typed, or the kernel says, is not to be found among what commands say.
    this.#type('stty -echo; PS1=; PS2=; cd /; dmesg -n 1');
    await this.run('true');
  }

  /** Switched off by root; resolves with what its console said meanwhile, the kernel's louder words included. */
  async powerOff(): Promise<string> {
    await this.run('dmesg -n 4');
    const from = this.#console.length;
    // poweroff(8) asks logind, which may be stopped before it has answered: that is a complaint of its own.
    this.#type('systemctl start --no-block --job-mode=replace-irreversibly poweroff.target');
    await this.says(/reboot: Power down/);
    await this.#exit;
    return this.#console.slice(from);
  }

  #type(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Runs a command in root's shell. @returns what it printed. @throws Error when its exit status is not 0. */
  async run(command: string): Promise<string> {
    const number = ++this.#commands;
    this.#seen = this.#console.length;
    const from = this.#seen;
    this.#type(`{ ${command}\n} 2>&1; echo "<$?:${number}>"`);
    const [mark, status] = await this.says(new RegExp(`<(\\d+):${number}>\\n`));
    const said = this.#console
      .slice(from, this.#seen - mark.length)
      .replace(kernelLine, '')
      .replace(serviceLine, '');
    if (status !== '0') throw new Error(`${command}: exit status ${status}:\n${said}`);
    return said;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exit;
    closed(this);
    this.#directory.remove();
  }
}
