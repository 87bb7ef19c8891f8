/** A daemon is replaced, or dies, under its readers. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readStatus, readTrace, untether } from '../../src/mount/control-client.ts';
import { controlPathOf } from '../../src/mount/control-path.ts';
import type { Status } from '../../src/mount/status.ts';
import { isMounted, tetherfsCommand } from '../support/daemon.ts';
import { waitUntil } from '../support/wait-until.ts';
import { expectRandomReads } from './reading.ts';
import { Site } from './site.ts';

/** ms. Generous: what is not answered would wait for ever. */
const longestStall = 20_000;

let site: Site;
let mountpoint: string;
beforeEach(async () => {
  site = await Site.make({ mebibytes: 24 });
  mountpoint = site.newMountpoint();
});
afterEach(async () => {
  if (isMounted(mountpoint)) await tetherfs('unmount', mountpoint);
  await waitUntil('the mount is gone', () => !isMounted(mountpoint));
  await site[Symbol.asyncDispose]();
});

const tetherfs = (...args: string[]) => promisify(execFile)(tetherfsCommand, args);
const mount = (...options: string[]) =>
  tetherfs('mount', '--digest', site.digest, ...options, ...site.urls(), mountpoint);
const status = (): Promise<Status> => readStatus(controlPathOf(mountpoint));

/** Ten readers at random, meanwhile: no byte wrong, no error. @returns the longest wait of a read, in ms. */
async function underReaders(work: () => Promise<void>): Promise<number> {
  let over = false;
  const path = join(mountpoint, 'rootimg.sfs');
  const reading = (async () => {
    let longest = 0;
    for (let seed = 1; !over; seed++) {
      const wait = await expectRandomReads(path, site.served, { count: 50, longest: 200_000, seed, readers: 10 });
      longest = Math.max(longest, wait);
    }
    return longest;
  })();
  try {
    await Promise.race([work(), reading.then(() => {})]);
  } finally {
    over = true;
    await reading;
  }
  return reading;
}

/** The daemon after it was replaced: another process that answers. */
async function successorOf(pid: number): Promise<Status> {
  return waitUntil('a successor answers', async () => {
    const found = await status().catch(() => undefined);
    return found !== undefined && found.pid !== pid ? found : undefined;
  });
}

describe('takeover', () => {
  it('ten times in a row under ten readers: no reader sees more than a pause', async () => {
    await mount('--cache-size', '8MiB');
    let { pid } = await status();
    const longest = await underReaders(async () => {
      for (let turn = 0; turn < 10; turn++) {
        await tetherfs('takeover', mountpoint);
        ({ pid } = await successorOf(pid));
      }
    });
    expect(longest).toBeLessThan(longestStall);
  });

  it('keeps the cache, what is known of the members, and the trace', async () => {
    await site.members[1]?.kill();
    await mount();
    const path = join(mountpoint, 'rootimg.sfs');
    await expectRandomReads(path, site.served, { count: 60, longest: 100_000, seed: 1 });
    // What was got in advance is there as well by then.
    const before = await waitUntil('nothing is under way', async () => {
      const found = await status();
      const { demandInFlight, prefetchInFlight } = found.collective;
      return demandInFlight + prefetchInFlight + found.cache.chunksInFlight === 0 && found;
    });
    const trace = await readTrace(controlPathOf(mountpoint));
    await tetherfs('takeover', mountpoint);
    const after = await successorOf(before.pid);
    expect(after.cache.chunksPresent).toBe(before.cache.chunksPresent);
    expect(after.members[1]).toMatchObject({ state: 'down', reason: expect.stringContaining('nothing listens') });
    expect(after.members[0]?.latencyP50Ms).toBeGreaterThan(0);
    expect(await readTrace(controlPathOf(mountpoint))).toBe(trace);
    for (const member of site.members) await member.kill();
    // Read before, and so in the cache: nobody is needed.
    await expectRandomReads(path, site.served, { count: 60, longest: 100_000, seed: 1 });
  });

  it('with all members away: reads that wait go on waiting, and succeed when one is back', async () => {
    await mount('--cache-size', '8MiB');
    for (const member of site.members) await member.kill();
    const { pid } = await status();
    await underReaders(async () => {
      await waitUntil('a reader waits', async () => (await status()).reads.waiting > 0);
      await tetherfs('takeover', mountpoint);
      await successorOf(pid);
      await site.members[0]?.restart();
    });
  });

  it('of an untethered mount: its memory stays where it is', async () => {
    await mount('--image-method', 'untethered');
    const { pid } = await status();
    for (const member of site.members) await member.kill();
    await underReaders(async () => {
      await tetherfs('takeover', mountpoint);
      await successorOf(pid);
    });
    await waitUntil('it is untethered', async () => (await status()).memory.state === 'untethered');
  });

  it('while RAM is being filled: it goes on where it was', async () => {
    await mount('--cache-size', '8MiB');
    await untether(controlPathOf(mountpoint), { backgroundRate: 6 * 1024 * 1024 });
    const { bytes } = await waitUntil('something is in RAM', async () => {
      const { memory } = await status();
      return memory.bytes > 2 ** 22 ? memory : undefined;
    });
    const { pid } = await status();
    await tetherfs('takeover', mountpoint);
    expect((await successorOf(pid)).memory.bytes).toBeGreaterThanOrEqual(bytes);
    await waitUntil('it is untethered', async () => (await status()).memory.state === 'untethered');
  });

  it('is refused where there is no daemon', async () => {
    await expect(tetherfs('takeover', mountpoint)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not a mount of tetherfs'),
    });
  });
});

describe('a crash', () => {
  it('kill -9 under ten readers, again and again: no reader sees an error', async () => {
    await mount('--cache-size', '8MiB');
    let { pid } = await status();
    const longest = await underReaders(async () => {
      for (let turn = 0; turn < 3; turn++) {
        process.kill(pid, 'SIGKILL');
        ({ pid } = await successorOf(pid));
      }
    });
    expect(longest).toBeLessThan(longestStall);
  });

  it('of the successor after a takeover: it is started again, too', async () => {
    await mount('--cache-size', '8MiB');
    let { pid } = await status();
    await underReaders(async () => {
      await tetherfs('takeover', mountpoint);
      ({ pid } = await successorOf(pid));
      process.kill(pid, 'SIGKILL');
      ({ pid } = await successorOf(pid));
    });
  });

  it('in an outage: what is cached is served at once again', async () => {
    await mount();
    const path = join(mountpoint, 'rootimg.sfs');
    await expectRandomReads(path, site.served, { count: 60, longest: 100_000, seed: 1 });
    for (const member of site.members) await member.kill();
    const { pid } = await status();
    process.kill(pid, 'SIGKILL');
    await expectRandomReads(path, site.served, { count: 60, longest: 100_000, seed: 1 });
    await successorOf(pid);
  });

  it('of an untethered mount: it is untethered again', async () => {
    await mount('--image-method', 'untethered');
    const { pid } = await status();
    process.kill(pid, 'SIGKILL');
    await expectRandomReads(join(mountpoint, 'rootimg.sfs'), site.served, { count: 60, longest: 100_000, seed: 1 });
    await successorOf(pid);
    await waitUntil('it is untethered', async () => (await status()).memory.state === 'untethered');
  });
});
