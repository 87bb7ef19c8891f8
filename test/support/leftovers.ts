/**
 * After each test file: no mount, loop device, process or control socket may be there that was not there before it. Runs in every test
 * file by vitest's `setupFiles`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll } from 'vitest';
import { controlPaths } from '../../src/mount/control-path.ts';
import { allProcesses, commandLine, isRunning, parentOf } from './process-tree.ts';
import { watchTeardown } from './teardown-hooks.ts';
import { waitUntil } from './wait-until.ts';

function mounts(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `mount ${line}`);
}

/** Loop devices are the machine's, so only those count that stand on a file of this run. */
function loopDevices(): string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .flatMap((name) => {
      try {
        const backing = readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim();
        return backing.startsWith(`${tmpdir()}/`) ? [`loop device ${name} on ${backing}`] : [];
      } catch {
        return []; // Not attached.
      }
    });
}

/** In a sandbox every process is this run's; elsewhere a machine's other work would be taken for ours. */
function processes(): string[] {
  if (process.env['TETHERFS_SANDBOX'] === undefined) return [];
  return allProcesses()
    .filter((pid) => pid !== process.pid && isRunning(pid) && !belongsToVitest(pid))
    .map((pid) => `process ${pid}: ${commandLine(pid)}`);
}

/** Vitest's main process is our parent; it starts workers whenever it likes. */
function belongsToVitest(pid: number): boolean {
  return parentOf(pid) === process.ppid;
}

/** A dead one's is shown by `tetherfs status`, also to the tests that come after. */
function controlSockets(): string[] {
  if (process.env['TETHERFS_SANDBOX'] === undefined) return [];
  return controlPaths().map((path) => `control socket ${path}`);
}

function everything(): string[] {
  return [...mounts(), ...loopDevices(), ...processes(), ...controlSockets()];
}

let before: Set<string>;

beforeAll(() => {
  before = new Set(everything());
});

afterAll(async () => {
  let left: string[] = [];
  try {
    // The kernel takes a moment to reap a process and to detach a loop device.
    await waitUntil(
      'nothing is left',
      () => {
        left = everything().filter((entry) => !before.has(entry));
        return left.length === 0;
      },
      { timeoutMs: 10_000 },
    );
  } catch (cause) {
    throw new Error(`this test file left behind: ${left.join('; ')}`, { cause });
  }
});

// After the above, so before it in time: clean-ups run in the reverse order.
watchTeardown();
