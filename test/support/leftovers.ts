/**
 * After each test file: no mount, loop device, process or control socket may be there that was not there before it. Runs in every test
 * file by vitest's `setupFiles`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll } from 'vitest';
import { allControls } from '../../src/mount/control-path.ts';
import { allProcesses, commandLine, isRunning } from './process-tree.ts';
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

/** All of the sandbox (sandbox-pool.ts) but us and the shell that waits for us. */
function processes(): string[] {
  return allProcesses()
    .filter((pid) => pid !== process.pid && pid !== process.ppid && isRunning(pid))
    .map((pid) => `process ${pid}: ${commandLine(pid)}`);
}

/** A dead one's is shown by `tetherfs status`, also to the tests that come after. */
function controlSockets(): string[] {
  return allControls().map((path) => `control socket ${path}`);
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
