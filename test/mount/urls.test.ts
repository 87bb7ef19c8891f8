/** URLs of members as an administrator may give them: what they mean is decided once, and what may be a secret in them stays one. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Daemon, isMounted, tetherfsCommand } from '../support/daemon.ts';
import { plainGet } from '../support/plain-http.ts';
import { waitUntil } from '../support/wait-until.ts';
import { HeldMount } from './held-mount.ts';
import { expectRandomReads, expectWhole, fileIn } from './reading.ts';
import { Site } from './site.ts';

const run = promisify(execFile);

let site: Site;
beforeAll(async () => {
  // More than the caches below, so that members are asked again and again.
  site = await Site.make({ mebibytes: 8, members: 2 });
});
afterAll(() => site[Symbol.asyncDispose]());

describe('bytes over http:// that nothing verifies', () => {
  // `new URL()` takes all of these for http://: https://github.com/nodejs/node/issues/12825, https://github.com/whatwg/url/issues/829.
  it.each<[string, (url: string) => string]>([
    ['a blank before it', (url) => ` ${url}`],
    ['a line end after it', (url) => `${url}\n`],
    ['a tab in the scheme', (url) => url.replace('http', 'ht\ttp')],
    ['a control character before it', (url) => `\u0001${url}`],
    ['no slashes', (url) => url.replace('//', '')],
    ['backslashes', (url) => url.replaceAll('/', '\\')],
    ['capitals', (url) => url.replace('http', 'HTTP')],
  ])('are not mounted, however the URL is written: %s', async (_how, written) => {
    const said = /^tetherfs: .*(holds no blanks|not a valid http|need --digest).*$/m;
    const [secure = '', , ...others] = [...site.urls('https'), ...site.urls()];
    const urls = [secure, ...others.slice(0, 1).map(written)];
    const mountpoint = site.newMountpoint();
    for (const how of ['--log-level=info', '--foreground']) {
      const trust = ['--ca-file', site.authority.file, how];
      const mounting = run(tetherfsCommand, ['mount', ...trust, ...urls, mountpoint]);
      await expect(mounting).rejects.toMatchObject({ code: 2, stderr: expect.stringMatching(said) });
      expect(isMounted(mountpoint)).toBe(false);
    }
  });
});

it('an image to be examined is a path or a URL, never something in between', async () => {
  for (const words of [['info'], ['verify', '--digest', site.digest]]) {
    const examining = run(tetherfsCommand, ['image', ...words, ` ${site.urls()[0]}`]);
    await expect(examining).rejects.toMatchObject({ code: 2, stderr: expect.stringMatching(/holds no blanks/) });
  }
});

describe('a query, which may be what opens the file (https://github.com/astral-sh/uv/pull/19146)', () => {
  const signed = () => site.urls().map((url) => `${url}?X-Amz-Signature=secret`);
  const expectNoSecret = (text: string) => expect(text).not.toContain('secret');

  it('is sent to the members, by successors too, and shown nowhere', async () => {
    await using mount = await HeldMount.make({
      urls: signed(),
      mountpoint: site.newMountpoint(),
      options: ['--digest', site.digest, '--cache-size', '2MiB', '--metrics', '127.0.0.1:9464'],
    });
    process.kill(mount.daemon, 'SIGKILL');
    const { pid } = await mount.successorOf(mount.daemon);
    await expectWhole(mount.file, site.served);
    for (const file of ['mounts', 'mountinfo', `../${pid}/cmdline`, `../${mount.holder}/cmdline`]) {
      expectNoSecret(readFileSync(`/proc/self/${file}`, 'utf8'));
    }
    for (const words of [['--wide'], ['--json']]) {
      const { stdout } = await run(tetherfsCommand, ['status', ...words, mount.mountpoint]);
      expect(stdout).toContain(site.urls()[0]);
      expectNoSecret(stdout);
    }
    expectNoSecret((await plainGet('http://127.0.0.1:9464/metrics')).body.toString());
    const asked = site.members.flatMap((member) => member.requests().map(({ path, query }) => `${path}?${query}`));
    expect(asked).toContainEqual(expect.stringMatching(/\/rootimg\.sfs\.fsverity\?X-Amz-Signature=secret$/));
    expect(asked).toContainEqual(expect.stringMatching(/\/rootimg\.sfs\?X-Amz-Signature=secret$/));
    expect(asked.filter((target) => !target.endsWith('?X-Amz-Signature=secret'))).toEqual([]);
  });

  it('is not in the log, whatever happens to a member, nor in what the command line says', async () => {
    await using daemon = await Daemon.start({
      urls: signed(),
      mountpoint: site.newMountpoint(),
      options: ['--digest', site.digest, '--cache-size', '2MiB', '--page-cache', 'none'],
    });
    await site.members[1]?.kill();
    // Which member is asked is drawn by lot.
    await waitUntil('it is missed', async () => {
      await expectRandomReads(fileIn(daemon), site.served, { count: 50, longest: 100_000, seed: 5 });
      return /member is (suspect|down)/.test(daemon.log);
    });
    await site.members[1]?.restart();
    expectNoSecret(daemon.log);
    const mounting = run(tetherfsCommand, [
      'mount',
      '--mount-timeout=1',
      '--digest',
      `sha256:${'0'.repeat(64)}`,
      ...signed(),
      site.newMountpoint(),
    ]);
    const { stderr } = await mounting.then(
      () => expect.unreachable('another image is mounted'),
      (error: { stderr: string }) => error,
    );
    expect(stderr).toContain(site.urls()[0]);
    expectNoSecret(stderr);
    const examining = run(tetherfsCommand, ['image', 'info', `${site.urls()[0]}.gone?secret`]);
    await expect(examining).rejects.toMatchObject({ stderr: expect.not.stringContaining('secret') });
  });
});
