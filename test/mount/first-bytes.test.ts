/** A mount is made when its first bytes have been read through it; when they do not come it is said, in time, and nothing is left. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readStatus } from '../../src/mount/control-client.ts';
import { controlPathOf } from '../../src/mount/control-path.ts';
import { MisbehavingServer } from '../members/misbehaving-server.ts';
import { Daemon, isMounted, tetherfsCommand } from '../support/daemon.ts';
import { waitUntil } from '../support/wait-until.ts';
import { Site } from './site.ts';

const run = promisify(execFile);
let site: Site;
beforeAll(async () => {
  site = await Site.make({ members: 1, mebibytes: 4 });
});
afterAll(() => site[Symbol.asyncDispose]());

/** Shows the image until that is mounted, and gives nothing of it then. */
async function showsOnly(mountpoint: string): Promise<MisbehavingServer> {
  const server = await MisbehavingServer.start(site.served, 'unavailable');
  server.sidecar = readFileSync(`${site.fileOf(0)}.fsverity`);
  server.goodWhile = () => !isMounted(mountpoint);
  return server;
}

async function expectNothingLeft(mountpoint: string): Promise<void> {
  await waitUntil('it is gone', () => !isMounted(mountpoint));
  await waitUntil('its socket, too', () => readdirSync('/run/tetherfs').length === 0);
}

const places = [
  ['the background', []],
  ['the foreground', ['--foreground']],
] as const;

describe.each([['--digest'], ['--allow-unverified']])('members that fail after they were identified, %s', (trust) => {
  const options = () => (trust === '--digest' ? [trust, site.digest] : [trust]);

  it.each(places)('in %s: given up in time, with their reasons', async (_, where) => {
    const mountpoint = site.newMountpoint();
    await using server = await showsOnly(mountpoint);
    const words = ['mount', ...where, ...options(), '--mount-timeout', '3', server.url, mountpoint];
    const failed = run(tetherfsCommand, words);
    await expect(failed).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /mounted, but \S+rootimg\.sfs could not be read in time: http:\S+ \(down: status 503/,
      ),
    });
    await expectNothingLeft(mountpoint);
  });

  it.each(places)('in %s: a signal ends the wait', async (_, where) => {
    const mountpoint = site.newMountpoint();
    await using server = await showsOnly(mountpoint);
    const words = ['mount', ...where, ...options(), '--mount-timeout', '0', server.url, mountpoint];
    const child = spawn(tetherfsCommand, words, { stdio: 'ignore' });
    const ended = once(child, 'exit');
    const waits = async () => (await readStatus(controlPathOf(mountpoint))).reads.waiting > 0;
    await waitUntil('the first read waits', () => waits().catch(() => false));
    child.kill('SIGTERM');
    expect(await ended).toEqual([1, null]);
    await expectNothingLeft(mountpoint);
  });
});

it('interrupted before there is a mount, it leaves no socket either', async () => {
  const mountpoint = site.newMountpoint();
  await using server = await MisbehavingServer.start(site.served, 'stall-head');
  const child = spawn(tetherfsCommand, ['mount', '--allow-unverified', server.url, mountpoint], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  await waitUntil('a member is asked', () => server.requests > 0);
  child.kill('SIGTERM');
  expect(await ended).toEqual([1, null]);
  await expectNothingLeft(mountpoint);
});

it('has any time that --mount-timeout gives it', async () => {
  const mountpoint = site.newMountpoint();
  const days = String(30 * 86_400);
  await run(tetherfsCommand, ['mount', '--digest', site.digest, '--mount-timeout', days, ...site.urls(), mountpoint]);
  await run(tetherfsCommand, ['unmount', mountpoint]);
  await expectNothingLeft(mountpoint);
});

it('--mount-timeout 0 waits for ever, also for what only an administrator can mend', async () => {
  const mountpoint = site.newMountpoint();
  const [url = ''] = site.urls();
  const options = ['--digest', site.digest, '--mount-timeout', '0'];
  // The directory is there, the image is not: a disk that is not mounted yet, a copy that is under way.
  await using daemon = Daemon.launch({ urls: [url.replace('os/test', 'os/late')], mountpoint, options });
  await daemon.says(/no member serves the hash tree of the digest yet.*status 404/);
  execFileSync('ln', ['-s', 'test', join(dirname(dirname(site.fileOf(0))), 'late')]);
  await daemon.ready();
  expect(await daemon.close()).toBe(0);
});
