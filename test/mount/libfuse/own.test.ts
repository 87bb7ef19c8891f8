/** `--transport libfuse`: what it is for, users that are not root; and what it cannot do. What both transports do is asked of each in the tests of that. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Daemon, isMounted, tetherfsCommand } from '../../support/daemon.ts';
import type { Nginx } from '../../support/nginx.ts';
import { isRunning } from '../../support/process-tree.ts';
import { closed, opened } from '../../support/teardown.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { expectWhole, fileIn } from '../reading.ts';
import { Site } from '../site.ts';

const libfuse = ['--transport', 'libfuse'];
const nobody = 65_534;
const checkout = fileURLToPath(new URL('../../..', import.meta.url));
const run = promisify(execFile);

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 8 });
});
afterAll(() => site[Symbol.asyncDispose]());

const everyMember = (act: (member: Nginx) => unknown) => Promise.all(site.members.map(act));

/** A user with a mountpoint and a runtime directory of his own, and a way to our program that he may take. */
class User implements Disposable {
  readonly mountpoint = '/run/user-of-libfuse/mnt';
  readonly runtime = '/run/user-of-libfuse/run';
  readonly #checkout = '/run/user-of-libfuse/checkout';

  constructor() {
    for (const directory of [this.mountpoint, this.runtime]) {
      mkdirSync(directory, { recursive: true, mode: 0o755 });
      chownSync(directory, nobody, nobody);
    }
    mkdirSync(this.#checkout);
    execFileSync('mount', ['--bind', checkout, this.#checkout]);
    opened(this);
  }

  /** Runs it as that user. */
  run(command: string, ...words: string[]): Promise<{ stdout: string; stderr: string }> {
    const as = [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', '--'];
    return run('setpriv', [...as, command, ...words], { env: { ...process.env, XDG_RUNTIME_DIR: this.runtime } });
  }

  tetherfs(...words: string[]): Promise<{ stdout: string; stderr: string }> {
    return this.run(join(this.#checkout, 'bin/tetherfs'), ...words);
  }

  [Symbol.dispose](): void {
    // Of a test that failed.
    if (isMounted(this.mountpoint)) execFileSync('umount', ['--lazy', this.mountpoint]);
    execFileSync('umount', ['--lazy', this.#checkout]);
    rmSync('/run/user-of-libfuse', { recursive: true });
    closed(this);
  }
}

it('a user that is not root mounts, reads, asks and unmounts; others cannot see it', async () => {
  using user = new User();
  const { mountpoint, runtime } = user;
  const file = join(mountpoint, 'rootimg.sfs');
  await user.tetherfs('mount', ...libfuse, '--digest', site.digest, ...site.urls(), mountpoint);
  const { stdout: sum } = await user.run('sha256sum', file);
  expect(sum.slice(0, 64)).toBe(createHash('sha256').update(site.served).digest('hex'));
  await expect(run('setpriv', ['--reuid=65533', '--clear-groups', 'cat', file])).rejects.toThrow(/Permission denied/);
  const { stdout } = await user.tetherfs('status', '--json', mountpoint);
  expect(JSON.parse(stdout)).toMatchObject({ mountpoint, fuse: { transport: 'libfuse' }, reads: { failed: 0 } });
  await user.tetherfs('unmount', mountpoint);
  expect(isMounted(mountpoint)).toBe(false);
  expect(readdirSync(join(runtime, 'tetherfs'))).toEqual([]);
});

it('root and the user each see that it is the other’s, and root’s status is of root’s alone', async () => {
  using user = new User();
  const { mountpoint } = user;
  await user.tetherfs('mount', ...libfuse, '--digest', site.digest, ...site.urls(), mountpoint);
  await using roots = await Daemon.start({
    urls: site.urls(),
    mountpoint: '/run/user-of-libfuse/roots',
    options: [...libfuse, '--digest', site.digest],
  });
  await expect(run(tetherfsCommand, ['status', mountpoint])).rejects.toThrow(
    /is a mount of user 65534: run this as that user\n$/,
  );
  await run(tetherfsCommand, ['status']);
  await expect(user.tetherfs('status', roots.mountpoint)).rejects.toThrow(/is a mount of root: run this as root\n$/);
  await user.tetherfs('status');
  await user.tetherfs('unmount', mountpoint);
});

it('without it, a user that is not root is told of it', async () => {
  using user = new User();
  const mounting = user.tetherfs('mount', '--digest', site.digest, ...site.urls(), user.mountpoint);
  await expect(mounting).rejects.toThrow(
    /only root can mount: run this as root, or mount by "tetherfs mount --transport libfuse"\n$/,
  );
});

it('it cannot be handed over to a successor; nothing happens to it', async () => {
  await using daemon = await site.mount([...libfuse, '--digest', site.digest]);
  const takeover = run(tetherfsCommand, ['takeover', daemon.mountpoint]);
  await expect(takeover).rejects.toThrow(/a mount by --transport libfuse cannot be handed over/);
  await expectWhole(fileIn(daemon), site.served);
});

it('a reader that is killed while it waits ends when its bytes are there', async () => {
  await using daemon = await site.mount([...libfuse, '--digest', site.digest]);
  await everyMember((member) => member.kill());
  const words = [`if=${fileIn(daemon)}`, 'of=/dev/null', 'bs=64k', 'skip=60', 'count=1', 'iflag=direct'];
  const reader = spawn('dd', words, { stdio: 'ignore' });
  const ended = once(reader, 'exit');
  await waitUntil('it waits', async () => (await daemon.status()).reads.waiting > 0);
  reader.kill('SIGKILL');
  expect(isRunning(reader.pid ?? 0)).toBe(true);
  await everyMember((member) => member.restart());
  expect(await ended).toEqual([null, 'SIGKILL']);
});

it('all of the image in RAM is read through it as well', async () => {
  await using daemon = await site.mount([...libfuse, '--digest', site.digest, '--image-method', 'untethered']);
  await everyMember((member) => member.kill());
  await expectWhole(fileIn(daemon), site.served);
  await everyMember((member) => member.restart());
});

it('on a directory that is not his, a user is told what may be wrong; nothing is left', async () => {
  using user = new User();
  const { runtime } = user;
  const mountpoint = '/run/user-of-libfuse';
  const mounting = user.tetherfs('mount', ...libfuse, '--digest', site.digest, ...site.urls(), mountpoint);
  await expect(mounting).rejects.toThrow(/libfuse cannot mount on \/run\/user-of-libfuse: .*the directory yours\?/);
  expect(isMounted(mountpoint)).toBe(false);
  expect(readdirSync(join(runtime, 'tetherfs'))).toEqual([]);
});
