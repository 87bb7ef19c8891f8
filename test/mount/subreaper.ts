/**
 * Whoever a process leaves behind becomes our child's child (PR_SET_CHILD_SUBREAPER, prctl(2)), so that a background process' exit status can be
 * known, as PID 1 knows it. Neither Node nor a shell can ask for that; Perl's syscall can, and Perl is on every Debian.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { waitUntil } from '../support/wait-until.ts';

const prctl: Record<string, number> = { x86_64: 157, aarch64: 167 };
/** Prints `PID STATUS` (as wait(2) has it) for each that ends. */
const program = `
  $| = 1;
  syscall(shift(@ARGV) + 0, 36, 1, 0, 0, 0) == 0 or die "prctl: $!";
  my $first = fork // die;
  exec @ARGV or exit 127 if $first == 0;
  print "$first\\n";
  while ((my $pid = wait) > 0) { print "$pid $?\\n" }
`;

export class Subreaper {
  #first: number | undefined;
  #child: ChildProcess | undefined;
  readonly #statuses = new Map<number, number>();

  /** Resolves when the command has ended; what it left behind lives on. Once. @throws Error when it failed. */
  readonly start = async (command: string, words: readonly string[]): Promise<void> => {
    const number = prctl[execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim()];
    this.#child = spawn('perl', ['-e', program, String(number), command, ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (this.#child.stdout === null) throw new Error('Perl needs a pipe');
    createInterface(this.#child.stdout).on('line', (line) => {
      const [pid = 0, status] = line.split(' ').map(Number);
      if (status === undefined) this.#first = pid;
      else this.#statuses.set(pid, (status & 127) === 0 ? status >> 8 : 128 + (status & 127));
    });
    const status = await this.statusOf(() => this.#first, 30_000);
    if (status !== 0) throw new Error(`${command} ended with status ${status}`);
  };

  /** Exit status of a process that had been left behind, or 128 + signal. */
  statusOf(pid: () => number | undefined, timeoutMs = 30_000): Promise<number> {
    return waitUntil('its exit status is known', () => this.#statuses.get(pid() ?? 0), { timeoutMs });
  }
}
