import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readStatus, retether } from '../../src/mount/control-client.ts';
import { controlPathOf } from '../../src/mount/control-path.ts';
import type { Status } from '../../src/mount/status.ts';
import { unmount } from '../../src/mount/unmount.ts';
import { Daemon, tetherfsCommand } from '../support/daemon.ts';
import { waitUntil } from '../support/wait-until.ts';
import { LoopDevice } from './loop-device.ts';
import { pseudoRandomBytes } from './pseudo-random.ts';
import { expectRandomReads, expectWhole, fileIn } from './reading.ts';
import { Site } from './site.ts';

const untethered = ['--image-method', 'untethered'];

/** Sockets of the process that are connected to a server. */
function connections(pid: number): string[] {
  return execFileSync('ss', ['-Htnp', 'state', 'established'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(`pid=${pid},`));
}

describe('a site with all well', () => {
  let site: Site;
  beforeAll(async () => {
    site = await Site.make({ mebibytes: 24 });
  });
  afterAll(() => site[Symbol.asyncDispose]());

  it('pulls the whole image before it is ready, from every member, and needs none afterwards', async () => {
    // So slow that none can bring it all before another is known to serve it, too.
    for (const member of site.members) await member.reload({ location: 'limit_rate 100k;' });
    const options = ['--digest', site.digest, ...untethered];
    await using daemon = Daemon.launch({ urls: site.urls(), mountpoint: site.newMountpoint(), options });
    const partOfEach = async () => (await daemon.status()).members.map(({ bytes }) => bytes);
    await waitUntil('each has delivered a part', async () => Math.min(...(await partOfEach())) > 1_000_000);
    for (const member of site.members) await member.reload({ location: '' });
    await daemon.ready();
    expect((await daemon.status()).memory).toMatchObject({
      method: 'untethered',
      state: 'untethered',
      bytes: site.served.length,
      totalBytes: site.served.length,
    });
    await waitUntil('no connection is left', () => connections(daemon.pid).length === 0);
    for (const member of site.members) await member.kill();
    await expectWhole(fileIn(daemon), site.served);
    await expectRandomReads(fileIn(daemon), site.served, { count: 300, longest: 200_000, seed: 5, readers: 4 });
    expect((await daemon.status()).reads.waiting).toBe(0);
    for (const member of site.members) await member.restart();
  });

  it('shows the decrypted file, with a header hidden', async () => {
    await using daemon = await site.mount(['--digest', site.digest, '--key-file', site.keyFile, ...untethered]);
    await expectWhole(fileIn(daemon), site.plain);
    await expectRandomReads(fileIn(daemon), site.plain, { count: 300, longest: 200_000, seed: 6, readers: 4 });
  });

  it('without a digest: pulls it all the same, and says that it is not verified', async () => {
    await using daemon = await site.mount(['--allow-unverified', ...untethered]);
    await expectWhole(fileIn(daemon), site.served);
    await daemon.says(/untethered: .*verified=false/);
  });

  it('reads do not pass through the daemon: a loop device reads on when it is killed', async () => {
    await using daemon = await site.mount(['--digest', site.digest, ...untethered]);
    expect((await daemon.status()).memory.passthrough).toBe(true);
    await using loop = await LoopDevice.attach(fileIn(daemon));
    const { bytes: before } = (await daemon.status()).reads;
    await loop.read(0, 4 << 20);
    expect((await daemon.status()).reads.bytes).toBe(before);

    await daemon.kill();
    const whole = Math.floor(site.served.length / 512) * 512;
    expect((await loop.read(0, whole)).equals(site.served.subarray(0, whole))).toBe(true);
  });

  it('cannot be tethered again while readers pass by the daemon, and says so', async () => {
    await using daemon = await site.mount(['--digest', site.digest, ...untethered]);
    await expect(retether(controlPathOf(daemon.mountpoint), false)).rejects.toMatchObject({ code: 'PASSTHROUGH' });
    await expectRandomReads(fileIn(daemon), site.served, { count: 20, longest: 10_000, seed: 7 });
  });

  it('an image that does not fit is refused before its first byte, with both numbers', async () => {
    const huge = site.fileOf(0).replace('rootimg.sfs', 'huge.sfs');
    mkdirSync(dirname(huge), { recursive: true });
    writeFileSync(huge, 'anything');
    truncateSync(huge, 1024 ** 4);
    const [url = ''] = site.urls();
    const urls = [url.replace('rootimg.sfs', 'huge.sfs')];
    const mountpoint = site.newMountpoint();
    await using daemon = Daemon.launch({ urls, mountpoint, options: ['--allow-unverified', ...untethered] });
    expect(await daemon.ended).toBe(1);
    expect(daemon.log).toMatch(/does not fit into RAM: it needs 1\.0 TiB .* and \d+\.\d [GM]iB are available/);
  });
});

describe('peak memory', () => {
  it('is the image and the daemon, not twice the image', async () => {
    await using site = await Site.make({ mebibytes: 96, firstHost: 41 });
    await using daemon = await site.mount(['--digest', site.digest, ...untethered]);
    const status = readFileSync(`/proc/${daemon.pid}/status`, 'utf8');
    const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
    const image = site.served.length / 1024;
    // The RAM file, and what is left of the arena.
    const files = readdirSync(`/proc/${daemon.pid}/fd`).map((name) => `/proc/${daemon.pid}/fd/${name}`);
    const memory = files
      .filter((file) => readlinkSync(file).startsWith('/memfd:'))
      .map((file) => statSync(file).blocks / 2);
    expect(memory.reduce((sum, blocks) => sum + blocks, 0)).toBeLessThan(image + 8 * 1024);
    expect(kib('VmHWM')).toBeLessThan(image + 200 * 1024);
  });
});

describe('a member of three fails half way', () => {
  /** A request each: the whole takes seconds, so that there is a half way. */
  const slow = { location: 'limit_rate 400k;' };
  const usual = { location: '' };
  const accidents: Record<string, (site: Site) => unknown> = {
    'is killed': (site) => site.members[1]?.kill(),
    'is silent': (site) => site.members[1]?.stop(),
    'becomes slow': (site) => site.members[1]?.reload({ location: 'limit_rate 20k;' }),
    'serves other bytes': (site) => site.overwrite(1, pseudoRandomBytes(site.served.length, 9)),
    'serves a shorter file': (site) => truncateSync(site.fileOf(1), 1_000_000),
  };
  for (const [what, strike] of Object.entries(accidents)) {
    it(`${what}: the image comes whole and right`, async () => {
      await using site = await Site.make({ mebibytes: 32, firstHost: 51, nginx: slow });
      const mountpoint = site.newMountpoint();
      const options = ['--digest', site.digest, ...untethered];
      await using daemon = Daemon.launch({ urls: site.urls(), mountpoint, options });
      await waitUntil('a third is there', async () => (await progressOf(daemon)) > site.served.length / 3);
      expect(await progressOf(daemon)).toBeLessThan(site.served.length);
      await strike(site);
      for (const well of [0, 2]) await site.members[well]?.reload(usual);
      await daemon.ready();
      await expectWhole(fileIn(daemon), site.served);
    });
  }

  it('all of them: it waits, says so, and goes on when one is back', async () => {
    await using site = await Site.make({ mebibytes: 24, firstHost: 61, nginx: slow });
    const mountpoint = site.newMountpoint();
    const options = ['--digest', site.digest, ...untethered];
    await using daemon = Daemon.launch({ urls: site.urls(), mountpoint, options });
    await waitUntil('a third is there', async () => (await progressOf(daemon)) > site.served.length / 3);
    for (const member of site.members) await member.kill();
    await waitUntil('it says so', async () => ((await daemon.status()).collective.outageMs ?? 0) > 1000);
    await site.members[2]?.restart(usual);
    await daemon.ready();
    await expectWhole(fileIn(daemon), site.served);
  });

  it('all of them, with --on-outage eio: the mount is given up with a reason', async () => {
    await using site = await Site.make({ mebibytes: 24, firstHost: 71, nginx: slow });
    const mountpoint = site.newMountpoint();
    const options = ['--digest', site.digest, ...untethered, '--on-outage', 'eio', '--outage-timeout', '2'];
    await using daemon = Daemon.launch({ urls: site.urls(), mountpoint, options });
    await waitUntil('a third is there', async () => (await progressOf(daemon)) > site.served.length / 3);
    for (const member of site.members) await member.kill();
    expect(await daemon.ended).toBe(1);
    expect(daemon.log).toMatch(/no member has been usable for 2 s/);
  });
});

/** Bytes that are in RAM; 0 as long as the control socket is not there. */
async function progressOf(daemon: Daemon): Promise<number> {
  const status: Status | undefined = await daemon.status().catch(() => undefined);
  return status?.memory.bytes ?? 0;
}

describe('while it pulls', () => {
  let site: Site;
  beforeAll(async () => {
    site = await Site.make({ mebibytes: 16, firstHost: 81, nginx: { location: 'limit_rate 400k;' } });
  });
  afterAll(() => site[Symbol.asyncDispose]());

  it('a terminal shows a bar, and the status how far it is', async () => {
    const mountpoint = site.newMountpoint();
    const words = ['mount', '--digest', site.digest, ...untethered, ...site.urls(), mountpoint];
    const terminal = spawn('script', ['-qec', `stty columns 100; ${tetherfsCommand} ${words.join(' ')}`, '/dev/null'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const shown = text(terminal.stdout);
    const filling = await waitUntil('it fills', async () => {
      const { memory } = await readStatus(controlPathOf(mountpoint));
      return memory.rate > 0 && memory;
    });
    expect(filling).toMatchObject({ state: 'filling', totalBytes: site.served.length });
    expect(await shown).toMatch(/pulling rootimg\.sfs\s+\[#+·+\]\s+\d+ %\s.* of 16\.\d MiB\s.*MiB\/s\s.* s left/);
    expect((await readStatus(controlPathOf(mountpoint))).memory.state).toBe('untethered');
    await unmount(mountpoint, 'normal');
  });

  it('a service manager is told, and that it is ready', async () => {
    const socket = site.path('notify.sock');
    // Node has no datagram sockets of this family; every Debian has perl.
    const listener = spawn('perl', ['-MIO::Socket::UNIX', '-e', receiver, socket], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const told = text(listener.stdout);
    await waitUntil('it listens', () => existsSync(socket));
    vi.stubEnv('NOTIFY_SOCKET', socket);
    await using daemon = await site.mount(['--digest', site.digest, ...untethered]).finally(() => vi.unstubAllEnvs());
    await daemon.close();
    expect(await told).toMatch(/STATUS=pulling the image: \d+ %, .*[\s\S]*READY=1\nSTATUS=mounted on /);
  });
});

/** Prints datagrams until one says that the service is ready. */
const receiver = `
  my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die $!;
  while (defined $socket->recv(my $message, 4096)) { print "$message\\n"; last if $message =~ /READY=1/ }`;
