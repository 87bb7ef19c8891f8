/** What is known when a daemon dies: the state that is kept for its successor is that of at most ten seconds before. */
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLog } from '../../src/base/log.ts';
import { DescriptorKeeper } from '../../src/mount/descriptor-keeper.ts';
import { loadBinding } from '../../src/native/binding.ts';
import { ManualTime } from '../support/manual-time.ts';
import { waitUntil } from '../support/wait-until.ts';
import { HeldMount } from './held-mount.ts';
import { expectRandomReads, expectWhole } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 8, members: 2 });
});
afterAll(() => site[Symbol.asyncDispose]());

describe('a mount', () => {
  /** Inodes of the memory files that hold a state. */
  const statesOf = (pid: number) =>
    readdirSync(`/proc/${pid}/fd`)
      .map((fd) => `/proc/${pid}/fd/${fd}`)
      .filter((fd) => readlinkSync(fd).includes('tetherfs-state'))
      .map((fd) => statSync(fd).ino);

  it('goes on with what was learnt after it was made: the trace, and what became of members', async () => {
    await using mount = await HeldMount.make({
      urls: site.urls(),
      mountpoint: site.newMountpoint(),
      options: ['--digest', site.digest, '--page-cache', 'none', '--cache-size', '2MiB', '--idle-time', '3600'],
    });
    await site.members[1]?.kill();
    await expectWhole(mount.file, site.served);
    // Which member is asked is drawn by lot.
    const before = await waitUntil('it is down', async () => {
      await expectRandomReads(mount.file, site.served, { count: 20, longest: 100_000, seed: 2 });
      const status = await mount.status();
      return status.members[1]?.state === 'down' && status;
    });
    const known = new Set(statesOf(mount.holder));
    // Each read changes what is known of the one that is left.
    await waitUntil('the state is kept anew', async () => {
      await expectRandomReads(mount.file, site.served, { count: 5, longest: 100_000, seed: 3 });
      return statesOf(mount.holder).some((state) => !known.has(state));
    });
    // Nobody is left to ask anew.
    await site.members[0]?.kill();
    process.kill(mount.daemon, 'SIGKILL');
    const after = await mount.successorOf(mount.daemon);
    expect(after.trace.chunks).toBe(before.trace.chunks);
    expect(after.members[1]?.reason).toBe(before.members[1]?.reason);
    for (const member of site.members) await member.restart();
  });
});

describe('two names', () => {
  it('hold the state in turn, so that it is never missing; the newer is read, and one that has not changed is not kept again', async () => {
    const native = loadBinding();
    const time = new ManualTime();
    /** A service manager that keeps both of a name, as systemd does. */
    let held: { name: string; text: string }[] = [];
    const fewest: number[] = [];
    let known = 1;
    let shortOfDescriptors = false;
    const keeper = new DescriptorKeeper({
      native: {
        writeMemfd(name, bytes) {
          if (shortOfDescriptors) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
          return native.writeMemfd(name, bytes);
        },
        closeDescriptors: native.closeDescriptors,
        notifyServiceManager(message, fds = []) {
          const name = /FDNAME=(.*)/.exec(message)?.[1] ?? '';
          if (!name.startsWith('state')) return true;
          if (message.startsWith('FDSTOREREMOVE=1')) held = held.filter((each) => each.name !== name);
          else held.push(...fds.map((fd) => ({ name, text: native.readMemfd(fd, 1000).toString() })));
          fewest.push(held.length);
          return true;
        },
      },
      state: () => ({ known }),
      sequence: 7,
      log: createLog({ level: 'error', format: 'text', sink: () => true }),
      time,
    });
    const newest = () => held.map(({ text }) => JSON.parse(text)).sort((a, b) => b.sequence - a.sequence)[0];
    const none = { descriptors: () => ({ arena: 0, ledger: 0, fuse: [] }) };
    keeper.keep(none as never);
    for (known = 2; known < 6; known++) {
      await time.pass(10_000);
      expect(newest().known).toBe(known);
    }
    const messages = fewest.length;
    known = 5;
    await time.pass(60_000);
    expect(fewest).toHaveLength(messages);
    expect(Math.min(...fewest)).toBeGreaterThanOrEqual(1);
    known = 6;
    shortOfDescriptors = true;
    await time.pass(10_000);
    shortOfDescriptors = false;
    expect(newest().known).toBe(5);
    await time.pass(60_000);
    expect(newest().known).toBe(6);
    const last = fewest.length;
    keeper.close();
    known = 9;
    await time.pass(60_000);
    expect(fewest).toHaveLength(last);
  });
});
