/**
 * systemd kills every process at switch_root and at shutdown, except those of root whose argv[0] begins with '@' (its ROOT_STORAGE_DAEMONS
 * document).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { allProcesses, isRunning, parentOf, signal } from '../support/process-tree.ts';
import { argumentsOf, HeldMount } from './held-mount.ts';
import { expectRandomReads } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
let mount: HeldMount;
beforeEach(async () => {
  site = await Site.make({ mebibytes: 16 });
  mount = await HeldMount.make({
    urls: site.urls(),
    mountpoint: site.newMountpoint(),
    options: ['--digest', site.digest, '--cache-size', '4MiB'],
  });
});
afterEach(async () => {
  await mount?.[Symbol.asyncDispose]();
  await site[Symbol.asyncDispose]();
});

const argv0 = (pid: number) => argumentsOf(pid)[0];
const readSome = (seed: number) =>
  expectRandomReads(mount.file, site.served, { count: 60, longest: 200_000, seed, readers: 4 });

/** Everything but PID 1, us, vitest, and the members, which would be other machines. */
function targets(): number[] {
  const spared = new Set([1, process.pid, process.ppid, ...site.members.flatMap(({ processes }) => processes)]);
  for (let pid = process.ppid; pid > 1; pid = parentOf(pid) ?? 0) spared.add(pid);
  const isVitest = (pid: number) => parentOf(pid) === process.ppid;
  // Without a command line it is a thread of the kernel, or has ended.
  return allProcesses().filter((pid) => !spared.has(pid) && !isVitest(pid) && (argv0(pid) ?? '') !== '');
}

/** As systemd does it: SIGTERM, then SIGKILL. @returns what it killed. */
function killingSpree(): number[] {
  const killed = targets().filter((pid) => !argv0(pid)?.startsWith('@'));
  for (const name of ['SIGTERM', 'SIGKILL'] as const) for (const pid of killed) signal(pid, name);
  return killed;
}

// Its processes are all that there is: a machine's own would be killed.
it('a killing spree passes over daemon and holder; after a crash and a takeover, too', async () => {
  async function survives(daemon: number, seed: number): Promise<void> {
    expect([daemon, mount.holder].map(argv0)).toEqual(['@tetherfs', '@tetherfs-holder']);
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    const ended = once(other, 'exit');
    expect(killingSpree()).toContain(other.pid);
    expect(await ended).toEqual([null, expect.stringMatching(/SIGTERM|SIGKILL/)]);
    await readSome(seed);
    expect((await mount.status()).pid).toBe(daemon);
  }

  await survives(mount.daemon, 1);
  signal(mount.daemon, 'SIGKILL');
  const { pid: restarted } = await mount.successorOf(mount.daemon);
  await survives(restarted, 2);
  await mount.takeOver();
  const { pid: successor } = await mount.successorOf(restarted);
  await survives(successor, 3);
  signal(successor, 'SIGKILL');
  const { pid: again } = await mount.successorOf(successor);
  await survives(again, 4);
  expect(isRunning(mount.holder)).toBe(true);
});
