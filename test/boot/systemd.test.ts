/** systemd/ under a real systemd as process 1: a service, its crashes, watchdog, upgrade and stop; a mount unit; a line of fstab at boot. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as z from 'zod';
import { statusSchema } from '../../src/mount/status.ts';
import { Site } from '../mount/site.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { Container } from './container.ts';
import { profileOf, rootOf } from './profiles.ts';

const patience = { timeoutMs: 60_000 };
const unit = 'tetherfs@mnt-image.service';
const file = '/mnt/image/rootimg.sfs';
const builder = fileURLToPath(new URL('../../scripts/build-runtime', import.meta.url));
const temp = makeTempDir('systemd');
let site: Site;
let container: Container;

beforeAll(async () => {
  site = await Site.make({ mebibytes: 8 });
  const runtime = join(temp.path, 'runtime');
  await promisify(execFile)(builder, [runtime]);
  container = new Container(rootOf(profileOf('TETHERFS_BOOT_INITRAMFS_TOOLS')), runtime);
  const [first = '', second = '', third = ''] = site.urls();
  container.write('/etc/tetherfs/members', `${third}\n`);
  container.write(
    '/etc/tetherfs/mounts/mnt-image.conf',
    `MEMBERS=${first} ${second}\nOPTIONS=--digest ${site.digest} --cache-size 2MiB --members-from /etc/tetherfs/members\n`,
  );
  // Sooner than anybody wants it, for a test.
  container.write(`/etc/systemd/system/${unit}.d/soon.conf`, '[Service]\nWatchdogSec=2s\n');
  container.write('/mnt/image/.keep', '');
  container.write('/mnt/fstab/.keep', '');
  container.write('/mnt/hand/.keep', '');
  container.write(
    '/etc/fstab',
    `${first},${second} /mnt/fstab tetherfs _netdev,nofail,ro,digest=${site.digest},cache-size=2MiB 0 0\n`,
  );
  await container.boot();
});
afterAll(async () => {
  await container?.[Symbol.asyncDispose]();
  await site?.[Symbol.asyncDispose]();
  temp.remove();
});

const show = async (property: string, of = unit) =>
  (await container.run('systemctl', 'show', '--value', '--property', property, of)).trim();
const status = async (mountpoint = '/mnt/image') =>
  statusSchema.parse(JSON.parse(await container.run('tetherfs', 'status', '--json', mountpoint)));
/** Nothing of it from the kernel's pages. */
const sha256 = async (path: string) =>
  (await container.run('sh', '-c', `dd if=${path} bs=1M iflag=direct status=none | sha256sum`)).split(' ')[0];
const right = () => createHash('sha256').update(site.served).digest('hex');
const mainPid = async () => Number(await show('MainPID'));
/** Another process than `pid` is the service, and answers. */
const successorOf = (pid: number) =>
  waitUntil(
    'another daemon serves',
    async () => (await mainPid()) !== pid && (await show('ActiveState')) === 'active' && status(),
    patience,
  );

it('its units are as systemd wants them', async () => {
  expect(
    await container.run(
      'sh',
      '-c',
      'systemd-analyze verify /etc/systemd/system/tetherfs@.service /etc/systemd/system/mnt-remoteimg.mount 2>&1',
    ),
  ).toBe('');
});

it('a member is a service: confined, not root, with the right to its ports alone; ready when it serves, and ended whole', async () => {
  const member = 'tetherfs-collective.service';
  await container.run('useradd', '--system', '--no-create-home', '--shell', '/usr/sbin/nologin', 'tetherfs');
  await container.run('install', '-d', '-o', 'tetherfs', '/var/lib/confluent');
  const options = '--https-port 444 --http-port 0 --listen 127.0.0.40';
  const soon = `[Service]\nExecStart=\nExecStart=/opt/tetherfs/bin/tetherfs collective run ${options}\n`;
  await container.run(
    'sh',
    '-c',
    `mkdir /run/systemd/system/${member}.d; printf '%s' '${soon}' >/run/systemd/system/${member}.d/here.conf; systemctl daemon-reload`,
  );
  expect(await container.run('sh', '-c', `systemd-analyze verify /etc/systemd/system/${member} 2>&1`)).toBe('');
  await container.run('sh', '-c', `systemctl start ${member} || { journalctl -u ${member} -n 20 -o cat >&2; false; }`);
  const pid = await show('MainPID', member);
  const [user, capabilities] = (
    await container.run('sh', '-c', `stat -c %U /proc/${pid}; grep CapEff /proc/${pid}/status`)
  ).split('\n');
  // CAP_NET_BIND_SERVICE.
  expect([user, capabilities]).toEqual(['tetherfs', 'CapEff:\t0000000000000400']);
  const { stdout } = await promisify(execFile)('curl', ['-sk', 'https://127.0.0.40:444/confluent-api/healthz']);
  expect(stdout).toBe('ok\n');
  // A command beside it, by root.
  await container.run('/opt/tetherfs/bin/tetherfs', 'collective', 'node', 'add', 'n1');
  expect(await container.run('stat', '-c', '%U %a', '/var/lib/tetherfs/collective.sqlite')).toBe('tetherfs 600\n');
  await container.run('systemctl', 'kill', '--signal=KILL', member);
  await waitUntil(
    'another one serves',
    async () => (await show('MainPID', member)) !== pid && (await show('ActiveState', member)) === 'active',
    patience,
  );
  await container.run('systemctl', 'stop', member);
  expect(await show('Result', member)).toBe('success');
  // Its master key encrypted to this machine, as the unit says, and no copy of it.
  const id = 'tetherfs-master-key';
  const sealed = `LoadCredentialEncrypted=${id}`;
  await container.run(
    'sh',
    '-ec',
    `cd /var/lib/tetherfs; mkdir -p /etc/credstore.encrypted
     systemd-creds encrypt --name=${id} master.key /etc/credstore.encrypted/${id}; rm master.key
     printf '[Service]\n${sealed}\n' >/run/systemd/system/${member}.d/key.conf; systemctl daemon-reload
     systemctl start ${member} || { journalctl -u ${member} -n 20 -o cat >&2; false; }`,
  );
  await container.run(
    ...['systemd-run', '--quiet', '--wait', '--pipe', '--property', sealed],
    ...['/opt/tetherfs/bin/tetherfs', 'collective', 'ca', 'rotate', 'ssh'],
  );
  const withoutKey = container.run('/opt/tetherfs/bin/tetherfs', 'collective', 'ca', 'rotate', 'ssh');
  await expect(withoutKey).rejects.toMatchObject({
    stderr: expect.stringMatching(/master key .* is missing: .*run this by systemd-run with that/),
  });
  await container.run('systemctl', 'stop', member);
});

it('a line of fstab is mounted at boot', async () => {
  expect(await show('ActiveState', 'mnt-fstab.mount')).toBe('active');
  expect(await sha256('/mnt/fstab/rootimg.sfs')).toBe(right());
});

it('the service starts when it can be read from', async () => {
  await container.run('systemctl', 'start', unit);
  expect(await show('StatusText')).toBe('mounted on /mnt/image');
  expect(await sha256(file)).toBe(right());
});

it('the daemon is killed: systemd kept what the next one goes on with, and readers see a pause', async () => {
  expect(Number(await show('NFileDescriptorStore'))).toBeGreaterThan(3);
  const pid = await mainPid();
  const reading = sha256(file);
  // What the mount was made with may have gone.
  await container.run('mv', '/etc/tetherfs/members', '/etc/tetherfs/gone');
  await container.run('systemctl', 'kill', '--kill-who=main', '--signal=KILL', unit);
  await successorOf(pid);
  await container.run('mv', '/etc/tetherfs/gone', '/etc/tetherfs/members');
  expect(Number(await show('NRestarts'))).toBe(1);
  await reading.catch(() => {}); // Before Linux 6.9 what it had read ends; later ones do not.
  expect(await sha256(file)).toBe(right());
});

it('the daemon hangs: the watchdog ends it, and the next one goes on', async () => {
  const pid = await mainPid();
  await container.run('systemctl', 'kill', '--kill-who=main', '--signal=STOP', unit);
  await successorOf(pid);
  expect(await sha256(file)).toBe(right());
});

it('an upgrade: the successor is the service, and lives on under the watchdog', async () => {
  const pid = await mainPid();
  await container.run('tetherfs', 'takeover', '/mnt/image');
  const { pid: successor } = await successorOf(pid);
  const seen = await show('WatchdogTimestampMonotonic');
  await waitUntil(
    'it gives signs of life',
    async () => Number(await show('WatchdogTimestampMonotonic')) > Number(seen) + 5_000_000,
    patience,
  );
  expect(await mainPid()).toBe(z.number().parse(successor));
  expect(await sha256(file)).toBe(right());
});

it('reload reads the members again', async () => {
  expect((await status()).members).toHaveLength(3);
  await container.run('sh', '-c', `echo ${site.urls()[0]} >/etc/tetherfs/members`);
  await container.run('systemctl', 'reload', unit);
  await waitUntil('it has two', async () => (await status()).members.length === 2);
});

it('stop unmounts, and nothing is left or has failed', async () => {
  await container.run('systemctl', 'stop', unit);
  expect(await show('Result'), await container.run('journalctl', '-u', unit, '-n', '40', '--no-pager')).toBe('success');
  expect(await container.run('sh', '-c', 'grep /mnt/image /proc/mounts || true')).toBe('');
  expect(await container.run('systemctl', '--failed', '--no-legend', '--plain')).toBe('');
});

it('mount -t tetherfs by hand, and umount; what is wrong is said in a line, with the status of mount(8)', async () => {
  const spec = site.urls().join(',');
  await container.run('mount', '-t', 'tetherfs', '-o', `digest=${site.digest}`, spec, '/mnt/hand');
  expect(await sha256('/mnt/hand/rootimg.sfs')).toBe(right());
  await container.run('umount', '/mnt/hand');
  await waitUntil(
    'its daemon has ended',
    async () => !(await container.run('sh', '-c', 'pgrep -af "[d]aemon /mnt/hand" || true')),
  );
  const refused = (options: string) => container.run('mount', '-t', 'tetherfs', '-o', options, spec, '/mnt/hand');
  await expect(refused('digset=sha256:0')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/option digset is not known/),
  });
  await expect(refused('digest=xyz')).rejects.toMatchObject({ code: 1 });
  await expect(refused('remount')).rejects.toMatchObject({ code: 1 });
  await expect(refused('digest')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/option digest needs a value: digest=…/),
  });
  await expect(refused(`digest=sha256:${'0'.repeat(64)},mount-timeout=1`)).rejects.toMatchObject({ code: 32 });
});

it('the machine is switched off with the mount of fstab, and nothing hangs or complains', async () => {
  const said = await container.powerOff();
  expect(said).toMatch(/Unmounted .*\/mnt\/fstab/);
  expect(said).not.toMatch(/fail|timed out/i);
});
