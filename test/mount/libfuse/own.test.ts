/** `--transport libfuse`: what it is for, users that are not root; and what it cannot do. What both transports do is asked of each in the tests of that. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { listMounts } from '../../../src/base/mounts.ts';
import { loadBinding } from '../../../src/native/binding.ts';
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

/** File systems that take every free device number below one. */
class Fillers implements Disposable {
  readonly #places: string[] = [];

  constructor(minor: number) {
    for (let taken = 0; taken < minor; ) {
      const mountpoint = `/run/filler-${this.#places.length}`;
      mkdirSync(mountpoint);
      execFileSync('mount', ['-t', 'tmpfs', 'none', mountpoint]);
      this.#places.push(mountpoint);
      taken = Number(
        listMounts()
          .find((found) => found.mountpoint === mountpoint)
          ?.device.split(':')[1],
      );
    }
    opened(this);
  }

  [Symbol.dispose](): void {
    for (const place of this.#places) {
      execFileSync('umount', [place]);
      rmSync(place, { recursive: true });
    }
    closed(this);
  }
}

const everyMember = (act: (member: Nginx) => unknown) => Promise.all(site.members.map(act));

/** A user with a mountpoint and a runtime directory of his own, and a way to our program that he may take. */
class User implements Disposable {
  readonly mountpoint = '/run/user-of-libfuse/mnt';
  readonly runtime = '/run/user-of-libfuse/run';
  readonly #device = '/run/user-of-libfuse/fuse';
  readonly #checkout = '/run/user-of-libfuse/checkout';

  constructor() {
    for (const directory of [this.mountpoint, this.runtime]) {
      mkdirSync(directory, { recursive: true, mode: 0o755 });
      chownSync(directory, nobody, nobody);
    }
    mkdirSync(this.#checkout);
    execFileSync('mount', ['--bind', checkout, this.#checkout]);
    // Open to everybody, as udev has it; a machine without udev has it root's.
    execFileSync('mknod', ['--mode=666', this.#device, 'c', '10', '229']);
    execFileSync('mount', ['--bind', this.#device, '/dev/fuse']);
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
    execFileSync('umount', ['--lazy', this.#checkout, '/dev/fuse']);
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

it('where /dev/fuse is root’s alone, a user is told so', async () => {
  using user = new User();
  chmodSync('/dev/fuse', 0o600);
  const mounting = user.tetherfs('mount', ...libfuse, '--digest', site.digest, ...site.urls(), user.mountpoint);
  await expect(mounting).rejects.toThrow(/\/dev\/fuse is closed to you, which udev opens to everybody/);
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

it('far behind the end there is nothing, and nobody waits there', async () => {
  await using daemon = await site.mount([...libfuse, '--digest', site.digest, '--page-cache', 'none']);
  const words = [`if=${fileIn(daemon)}`, 'bs=4k', 'count=1', 'iflag=skip_bytes', `skip=${2 ** 53}`];
  expect((await run('dd', words)).stdout).toBe('');
  await expectWhole(fileIn(daemon), site.served);
});

it('names that are too long or odd for the package are cut or refused', async () => {
  const name = 'ä,'.repeat(400);
  const [url] = site.urls();
  await using daemon = await site.mount([...libfuse, '--allow-unverified'], [`${url}?${name}`]);
  const { source } = listMounts().find(({ mountpoint }) => mountpoint === daemon.mountpoint) ?? {};
  expect(source?.slice(0, 12)).toBe('tetherfs:htt');
  await expectWhole(fileIn(daemon), site.served);
  const deep = join('/run', ...Array.from({ length: 6 }, () => 'd'.repeat(200)));
  mkdirSync(deep, { recursive: true });
  await expect(run(tetherfsCommand, ['mount', ...libfuse, '--allow-unverified', url ?? '', deep])).rejects.toThrow(
    /the package has room for a mountpoint of 1023 bytes: give a shorter one\n$/,
  );
  rmSync(join('/run', 'd'.repeat(200)), { recursive: true });
});

it('another mount that gets its device number after it was unmounted is left alone', async () => {
  const deviceOf = ({ mountpoint }: { mountpoint: string }) =>
    listMounts().find((found) => found.mountpoint === mountpoint)?.device ?? `${mountpoint} is not mounted`;
  // Numbers are the machine's: whoever else mounts at this moment may get it instead, or free a lower one.
  for (let isTheSame = false; !isTheSame; ) {
    await using daemon = await site.mount([...libfuse, '--digest', site.digest]);
    const device = deviceOf(daemon);
    using _lower = new Fillers(Number(device.split(':')[1]));
    daemon.signal('SIGSTOP');
    // umount(8) would ask it first.
    await loadBinding().unmount(daemon.mountpoint, 'normal');
    await using next = await site.mount([...libfuse, '--digest', site.digest]);
    isTheSame = deviceOf(next) === device;
    daemon.signal('SIGCONT');
    expect(await daemon.ended).toBe(0);
    await expectWhole(fileIn(next), site.served);
  }
});

it('a directory for control sockets that is another’s is not used, and one that is open is closed', async () => {
  using user = new User();
  const { mountpoint, runtime } = user;
  const mount = () => user.tetherfs('mount', ...libfuse, '--digest', site.digest, ...site.urls(), mountpoint);
  const directory = join(runtime, 'tetherfs');
  mkdirSync(directory, { mode: 0o755 });
  await expect(mount()).rejects.toThrow(/run\/tetherfs is not a directory that is ours alone: remove it\n$/);
  expect(isMounted(mountpoint)).toBe(false);
  chownSync(directory, nobody, nobody);
  await mount();
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  await user.tetherfs('unmount', mountpoint);
});
