/** A daemon is replaced, or dies, under its readers. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readStatus } from '../../src/mount/control-client.ts';
import { controlPathOf } from '../../src/mount/control-path.ts';
import { tetherfsCommand } from '../support/daemon.ts';
import { expectRandomReads, fileIn } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 24 });
});
afterAll(() => site[Symbol.asyncDispose]());

const tetherfs = (...args: string[]) => promisify(execFile)(tetherfsCommand, args);
const statusOf = (mountpoint: string) => readStatus(controlPathOf(mountpoint));

/** Reads at random until told to stop: no byte wrong, no error. Resolves with the longest wait, in ms. */
function readOn(mountpoint: string): { stop: () => Promise<number> } {
  let stopped = false;
  const file = fileIn({ mountpoint });
  const reading = (async () => {
    let longest = 0;
    for (let seed = 1; !stopped; seed++) {
      const wait = await expectRandomReads(file, site.served, { count: 50, longest: 200_000, seed, readers: 10 });
      longest = Math.max(longest, wait);
    }
    return longest;
  })();
  reading.catch(() => {});
  return {
    stop() {
      stopped = true;
      return reading;
    },
  };
}

describe('takeover', () => {
  it('ten times in a row under ten readers: the cache survives, and no reader sees more than a pause', async () => {
    const mountpoint = site.newMountpoint();
    await tetherfs('mount', '--digest', site.digest, '--cache-size', '8MiB', ...site.urls(), mountpoint);
    const readers = readOn(mountpoint);
    try {
      let { pid } = await statusOf(mountpoint);
      for (let turn = 0; turn < 10; turn++) {
        await tetherfs('takeover', mountpoint);
        const successor = await statusOf(mountpoint);
        expect(successor.pid).not.toBe(pid);
        ({ pid } = successor);
      }
      expect(await readers.stop()).toBeLessThan(5_000);
      expect((await statusOf(mountpoint)).cache.chunksPresent).toBeGreaterThan(0);
    } finally {
      await readers.stop().catch(() => {});
      await tetherfs('unmount', mountpoint);
    }
  });
});
