/**
 * The end of a mount in the background, with its network and without: nothing hangs, and nothing is left, neither daemon nor holder nor mount
 * nor zombie. (test/mount/life-cycle.test.ts has the daemon in the foreground.)
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { controlOf, forgetDead, tracesOf } from '../../src/mount/control-path.ts';
import { insistOnTetherfs } from '../../src/mount/mount-table.ts';
import { isMounted, tetherfsCommand } from '../support/daemon.ts';
import { isRunning } from '../support/process-tree.ts';
import { closed, opened } from '../support/teardown.ts';
import { itByKernel } from '../support/transport.ts';
import { waitUntil } from '../support/wait-until.ts';
import { HeldMount } from './held-mount.ts';
import { openImage, readAt } from './reading.ts';
import { Site } from './site.ts';
import { Subreaper } from './subreaper.ts';

const run = promisify(execFile);

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 8 });
});
afterAll(() => site[Symbol.asyncDispose]());

interface Held extends AsyncDisposable {
  mount: HeldMount;
  /** Resolves with the holder's exit status when everything has gone. */
  gone(): Promise<number>;
}

async function makeMount(): Promise<Held> {
  const reaper = new Subreaper();
  const mount = await HeldMount.make({
    urls: site.urls(),
    mountpoint: site.newMountpoint(),
    options: ['--digest', site.digest],
    start: reaper.start,
  });
  return {
    mount,
    async gone() {
      const status = await reaper.statusOf(() => mount.holder);
      await expect.poll(() => mount.leftovers(), { timeout: 30_000 }).toEqual([]);
      return status;
    },
    [Symbol.asyncDispose]: () => mount[Symbol.asyncDispose](),
  };
}

/** The network disappears, without a word to anybody, until disposed. */
function loseNetwork(): Disposable {
  execFileSync('ip', ['link', 'set', 'lo', 'down']);
  const lost = {
    [Symbol.dispose]() {
      execFileSync('ip', ['link', 'set', 'lo', 'up']);
      closed(lost);
    },
  };
  opened(lost);
  return lost;
}

class Reader implements AsyncDisposable {
  readonly #child;
  readonly #ended: Promise<number>;

  /** Reads 64 KiB that nobody has read before, past the page cache. Resolves when it waits. */
  static async waiting(mount: HeldMount): Promise<Reader> {
    const reader = new Reader(mount.file);
    await waitUntil('a reader waits', async () => (await mount.status()).reads.waiting > 0);
    return reader;
  }

  private constructor(file: string) {
    const words = [`if=${file}`, 'of=/dev/null', 'bs=64k', 'skip=90', 'count=1', 'iflag=direct', 'status=none'];
    this.#child = spawn('dd', words, { stdio: 'ignore' });
    this.#ended = once(this.#child, 'exit').then(([status, signal]) => (signal === null ? Number(status) : 128));
  }

  /** Its exit status; 128 when a signal ended it. */
  get ended(): Promise<number> {
    return this.#ended;
  }

  /** Resolves when it is gone: one that cannot be killed while it waits never is. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
  }
}

const signalTo = (process_: 'daemon' | 'holder', name: NodeJS.Signals) => async (mount: HeldMount) => {
  process.kill(mount[process_], name);
};
/** Each ends a mount that nobody uses, and detaches one that is used; but umount, which refuses to. */
const ways = [
  { name: 'umount', end: (mount: HeldMount) => run('umount', [mount.mountpoint]) },
  { name: 'tetherfs unmount', end: (mount: HeldMount) => run(tetherfsCommand, ['unmount', mount.mountpoint]) },
  { name: 'umount --lazy', end: (mount: HeldMount) => run('umount', ['--lazy', mount.mountpoint]) },
  { name: 'SIGTERM to the daemon', end: signalTo('daemon', 'SIGTERM') },
  { name: 'SIGTERM to the holder', end: signalTo('holder', 'SIGTERM') },
];

describe('with its network', () => {
  it.each(ways)('$name ends daemon and holder, with status 0', async ({ end }) => {
    await using held = await makeMount();
    await end(held.mount);
    expect(await held.gone()).toBe(0);
  });

  it('an abort ends daemon and holder, with status 1', async () => {
    await using held = await makeMount();
    held.mount.abort();
    expect(await held.gone()).toBe(1);
  });
});

itByKernel(
  'without its holder the daemon goes on; killed then, it leaves errors and a dead mount, which umount removes',
  async () => {
    await using held = await makeMount();
    const { mount } = held;
    process.kill(mount.holder, 'SIGKILL');
    await waitUntil('the holder is gone', () => !isRunning(mount.holder));
    await using file = await openImage(mount.file, true);
    expect(await readAt(file, 2 ** 22, 4096)).toEqual(site.served.subarray(2 ** 22, 2 ** 22 + 4096));
    process.kill(mount.daemon, 'SIGKILL');
    await waitUntil('the daemon is gone', () => !isRunning(mount.daemon));
    await expect(readAt(file, 0, 4096)).rejects.toThrow(/ENOTCONN|ECONNABORTED/);
    await run('umount', ['--lazy', mount.mountpoint]);
    expect(isMounted(mount.mountpoint)).toBe(false);
  },
);

it('a dead mount that "tetherfs unmount" has removed is not spoken of any more', async () => {
  await using held = await makeMount();
  const { mount } = held;
  for (const pid of new Set([mount.holder, mount.daemon])) process.kill(pid, 'SIGKILL');
  await waitUntil('they are gone', () => !isRunning(mount.holder) && !isRunning(mount.daemon));
  await mount.run('unmount', mount.mountpoint);
  await expect(mount.run('status')).rejects.toThrow(/no tetherfs mount on this machine\n$/);
  expect(mount.leftovers().filter((what) => !what.includes('zombie'))).toEqual([]);
});

it('a dead mount is forgotten although the kernel has given its number to the next mount, which is found as before', async () => {
  await using dead = await makeMount();
  const traces = tracesOf(insistOnTetherfs(dead.mount.mountpoint));
  for (const pid of new Set([dead.mount.holder, dead.mount.daemon])) process.kill(pid, 'SIGKILL');
  await run('umount', ['--lazy', dead.mount.mountpoint]);
  await waitUntil('its connection is gone', () => !existsSync(dead.mount.connection));
  await using next = await makeMount();
  const { device, mountpoint } = insistOnTetherfs(next.mount.mountpoint);
  forgetDead({ ...traces, device });
  expect(existsSync(traces.control)).toBe(false);
  expect(controlOf(mountpoint)).toBe(next.mount.control);
  await next.mount.run('status');
});

it('a mount that lives on elsewhere is not forgotten', async () => {
  await using held = await makeMount();
  const elsewhere = join(dirname(held.mount.mountpoint), 'elsewhere');
  mkdirSync(elsewhere);
  const traces = tracesOf(insistOnTetherfs(held.mount.mountpoint));
  await run('mount', ['--bind', held.mount.mountpoint, elsewhere]);
  await run('umount', [held.mount.mountpoint]);
  forgetDead(traces);
  expect(controlOf(elsewhere)).toBe(held.mount.control);
  await held.mount.run('unmount', elsewhere);
  expect(await held.gone()).toBe(0);
});

describe('when the network has disappeared, with a reader that waits', () => {
  const answersMeanwhile = async (mount: HeldMount) => expect((await mount.status()).reads.waiting).toBe(1);

  itByKernel.each(ways.slice(0, 2))(
    '$name is refused; the reader can be killed, and then it works',
    async ({ end }) => {
      await using held = await makeMount();
      using _ = loseNetwork();
      await using reader = await Reader.waiting(held.mount);
      await expect(end(held.mount)).rejects.toThrow(/busy|in use/);
      await answersMeanwhile(held.mount);
      await reader.kill();
      await end(held.mount);
      expect(await held.gone()).toBe(0);
    },
  );

  itByKernel.each(ways.slice(2))(
    '$name detaches it at once; the last reader that is killed ends it',
    async ({ end }) => {
      await using held = await makeMount();
      using _ = loseNetwork();
      await using reader = await Reader.waiting(held.mount);
      await end(held.mount);
      await waitUntil('it is detached', () => !isMounted(held.mount.mountpoint));
      await answersMeanwhile(held.mount);
      await reader.kill();
      expect(await held.gone()).toBe(0);
    },
  );

  it('detached, the reader gets its bytes when the network is back, and then it ends', async () => {
    await using held = await makeMount();
    const network = loseNetwork();
    try {
      await using reader = await Reader.waiting(held.mount);
      await run('umount', ['--lazy', held.mount.mountpoint]);
      network[Symbol.dispose]();
      expect(await reader.ended).toBe(0);
      expect(await held.gone()).toBe(0);
    } finally {
      network[Symbol.dispose]();
    }
  });

  it.each([
    { name: 'an abort through /sys/fs/fuse', abort: (mount: HeldMount) => mount.abort() },
    {
      name: 'a second SIGTERM',
      abort: async (mount: HeldMount) => {
        process.kill(mount.daemon, 'SIGTERM');
        await waitUntil('it is detached', () => !isMounted(mount.mountpoint));
        process.kill(mount.daemon, 'SIGTERM');
      },
    },
  ])('$name gives the reader an error and ends daemon and holder, with status 1', async ({ abort }) => {
    await using held = await makeMount();
    using _ = loseNetwork();
    await using reader = await Reader.waiting(held.mount);
    await answersMeanwhile(held.mount);
    await abort(held.mount);
    expect(await reader.ended).toBe(1);
    expect(await held.gone()).toBe(1);
  });
});
