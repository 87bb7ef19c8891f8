/** What may have changed when a successor goes on with a mount, and must not stop it. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { plainGet } from '../support/plain-http.ts';
import { isRunning } from '../support/process-tree.ts';
import { waitUntil } from '../support/wait-until.ts';
import { HeldMount } from './held-mount.ts';
import { expectRandomReads, expectWhole, fileIn } from './reading.ts';
import { RuntimeCopy } from './runtime-copy.ts';
import { Site } from './site.ts';

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 16 });
});
afterAll(() => site[Symbol.asyncDispose]());

/** What is mounted over a file of the machine's, to be taken away after the test. */
let covered: string[] = [];
afterEach(() => {
  for (const path of covered) execFileSync('umount', [path]);
  covered = [];
});

/** The machine has this for one of its files, until `uncover`. The sandbox's mounts are its own. */
function cover(path: string, text: string): void {
  const file = site.path(`over-${path.replaceAll('/', '-')}`);
  writeFileSync(file, text);
  execFileSync('mount', ['--bind', file, path]);
  covered.push(path);
}

function uncover(path: string): void {
  execFileSync('umount', [path]);
  covered = covered.filter((other) => other !== path);
}

const small = () => ['--digest', site.digest, '--cache-size', '2MiB'];

async function untilAllUp(mount: HeldMount): Promise<void> {
  await waitUntil('all are up', async () => (await mount.status()).members.every(({ state }) => state === 'up'));
}

/** A mount of members that are all up. */
async function mountFrom(urls: readonly string[], options: readonly string[] = []): Promise<HeldMount> {
  const mount = await HeldMount.make({
    urls,
    mountpoint: site.newMountpoint(),
    options: [...small(), ...options],
  });
  await untilAllUp(mount);
  return mount;
}

/** The daemon is killed; readers find the right bytes, all of them from members, and each of these is reached and believed. */
async function expectGoesOn(mount: HeldMount): Promise<void> {
  process.kill(mount.daemon, 'SIGKILL');
  await expectRandomReads(mount.file, site.served, { count: 200, longest: 200_000, seed: 3, readers: 4 });
  await mount.successorOf(mount.daemon);
  await untilAllUp(mount);
  const { members, reads } = await mount.status();
  expect(reads.failed).toBe(0);
  // Whoever stands still for 50 ms, as nginx sometimes does under these readers, is late: that says nothing of how it was reached.
  const faults = members.map(({ errors: { timeout: _, ...others } }) => others);
  expect(faults).toEqual(members.map(() => ({})));
}

describe('after a crash', () => {
  it('members are reached by the addresses that their names had; nobody is asked for them under the mounted root', async () => {
    const names = site.urls().map((_, index) => `member-${index}.invalid`);
    const addresses = site.members.map(({ address }) => address);
    cover('/etc/hosts', names.map((name, index) => `${addresses[index]} ${name}\n`).join(''));
    const urls = site.urls().map((url, index) => url.replace(addresses[index] ?? '', names[index] ?? ''));
    await using mount = await mountFrom(urls);
    uncover('/etc/hosts');
    await expectGoesOn(mount);
  });

  it('a name that had no address at the mount is not looked up under the mounted root either', async () => {
    const [url = ''] = site.urls();
    const late = url.replace(site.members[0]?.address ?? '', 'late-member.invalid');
    await using mount = await HeldMount.make({
      urls: [late, ...site.urls().slice(1)],
      mountpoint: site.newMountpoint(),
      options: small(),
    });
    const ofLate = async () => (await mount.status()).members[0];
    cover('/etc/hosts', `${site.members[0]?.address} late-member.invalid\n`);
    for (const pid of [mount.daemon, 0]) {
      const asked = (await ofLate())?.errors['resolve'] ?? 0;
      await waitUntil('it is asked for again', async () => ((await ofLate())?.errors['resolve'] ?? 0) > asked);
      expect(await ofLate()).toMatchObject({ state: 'down', reason: 'the name late-member.invalid has no address' });
      if (pid === 0) continue;
      process.kill(pid, 'SIGKILL');
      await mount.successorOf(pid);
    }
    uncover('/etc/hosts');
  });

  it('HTTPS members are believed by the authorities that the system had', async () => {
    const bundle = '/etc/ssl/certs/ca-certificates.crt';
    cover(bundle, readFileSync(site.authority.file, 'utf8'));
    await using mount = await mountFrom(site.urls('https'));
    uncover(bundle);
    await expectGoesOn(mount);
  });

  it('a metrics address that the machine has lost does not keep readers waiting, and is listened on when it is back', async () => {
    const address = '10.81.0.5';
    const change = (what: 'add' | 'del') =>
      execFileSync('ip', ['address', what, `${address}/32`, 'dev', 'lo'], { stdio: 'ignore' });
    change('add');
    await using mount = await mountFrom(site.urls(), ['--metrics', `${address}:9464`]);
    change('del');
    await expectGoesOn(mount);
    change('add');
    const { body } = await waitUntil('metrics are back', () => plainGet(`http://${address}:9464/metrics`));
    expect(body.toString()).toContain('tetherfs_uptime_seconds');
    change('del');
  });
});

describe('a defect of ours', () => {
  /** A program that throws where nobody catches it, when it is told to. */
  function defective(): RuntimeCopy {
    const runtime = new RuntimeCopy(site.path(`runtime-${++copies}`));
    runtime.prepend('src/cli/main.ts', "process.on('SIGUSR2', () => { throw new Error('a defect'); });\n");
    return runtime;
  }
  let copies = 0;

  it('is a crash where a successor can go on: for readers a pause', async () => {
    const { command } = defective();
    await using mount = await HeldMount.make({
      urls: site.urls(),
      mountpoint: site.newMountpoint(),
      options: small(),
      command,
    });
    process.kill(mount.daemon, 'SIGUSR2');
    await waitUntil('it has died', () => !isRunning(mount.daemon));
    await expectRandomReads(mount.file, site.served, { count: 100, longest: 200_000, seed: 4, readers: 4 });
    await mount.successorOf(mount.daemon);
  });

  it('that keeps a successor from starting is in the kernel’s log, and no longer once it is mended', async () => {
    const runtime = defective();
    await using mount = await HeldMount.make({
      urls: site.urls(),
      mountpoint: site.newMountpoint(),
      options: small(),
      command: runtime.command,
    });
    const reason = `no way to go on ${process.pid}`;
    runtime.prepend('src/mount/run.ts', `throw new Error('${reason}');\n`);
    process.kill(mount.daemon, 'SIGKILL');
    const log = () => execFileSync('dmesg', { encoding: 'utf8' });
    await waitUntil('its reason is told', () => log().includes(reason));
    expect(log()).toMatch(`tetherfs-holder of ${mount.mountpoint}: process ${mount.daemon} died of signal 9`);
    runtime.restore();
    await mount.successorOf(mount.daemon, 30_000);
    await expectWhole(mount.file, site.served);
  });

  it('is lived with where nobody keeps the mount, which is said at the start', async () => {
    const { command } = defective();
    await using daemon = await site.mount(['--digest', site.digest], site.urls(), command);
    await daemon.says('a crash would end this mount');
    daemon.signal('SIGUSR2');
    await daemon.says(/tetherfs: defect .*a defect/);
    await expectWhole(fileIn(daemon), site.served);
  });
});
