/**
 * A Debian machine without a disk that owns nothing: it finds its member, gets its key by a grant, and from the API what it is to boot, with the image's digest and key.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  fstatSync,
  globSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MemberServer } from '../support/member.ts';
import { sshLogin } from '../support/ssh-login.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { Machine } from './machine.ts';
import { failedUnits, image, statusOf, unsealed } from './node.ts';
import { address } from './site.ts';
import { bootSuite } from './suite.ts';
import { MachineTpm } from './tpm.ts';

const suite = bootSuite('TETHERFS_BOOT_INITRAMFS_TOOLS');
const mac = '52:54:00:00:00:01';
const hash = '$6$saltsalt$abcdefghijklmnopqrstuvwxyz';
const persistence = fileURLToPath(new URL('../../examples/node.d/50-persistence', import.meta.url));
const temp = makeTempDir('grant');
const persistent = makeTempDir('persistent');
const tpm = new MachineTpm();
let member: MemberServer;
let machine: Machine;

async function switchedOn(): Promise<Machine> {
  return Machine.start({
    profile: suite.profile.directory,
    members: [],
    tap: suite.site.tap,
    mac,
    siteArchive: join(member.tree, 'public/site/initramfs.cpio'),
    words: [address],
    // As a file server has it: a directory of ours.
    hardware: [
      ...(await tpm.switchOn()),
      // Its battery is empty.
      ...['-rtc', 'base=2001-02-03T04:05:06'],
      ...['-virtfs', `local,path=${persistent.path},mount_tag=nodes,security_model=none`],
    ],
  });
}

beforeAll(async () => {
  // nginx has port 80.
  member = await MemberServer.start('--http-port', '0');
  const { directory, keyFile } = suite.profile;
  const newest = readlinkSync(join(directory, 'rootimg.sfs'));
  const publicDir = join(member.tree, 'public/os/demo');
  member.profile('demo', { [newest]: 'nginx has it', 'private/pending/rootimg.key': readFileSync(keyFile, 'utf8') });
  symlinkSync(newest, join(publicDir, 'rootimg.sfs'));
  await member.cli('site', '--image-member', '10.9.0.2');
  await suite.site.members[0]?.reload({ publicDir: damagedCopy() });
  makeSyncFiles();
  await member.cli('node', 'set', '--default', 'timezone=Europe/Berlin', 'deployment.useinsecureprotocols=always');
  await member.cli(
    'node',
    'add',
    'node1',
    `net.hwaddr=${mac}`,
    'net.ipv4_address=10.9.0.100/24',
    'deployment.pendingprofile=demo',
  );
  member.cliWith(`${hash}\n`, 'node', 'set', 'node1', '--root-password-file', '-');
  machine = await switchedOn();
});
afterAll(async () => {
  await machine?.[Symbol.asyncDispose]();
  await member?.[Symbol.asyncDispose]();
  await tpm[Symbol.asyncDispose]();
  temp.remove();
  persistent.remove();
});

/** Of what members serve, with an image that does not fit its digest. */
function damagedCopy(): string {
  const directory = join(temp.path, 'damaged/os/demo');
  mkdirSync(directory, { recursive: true });
  chmodSync(temp.path, 0o755);
  execFileSync('cp', ['-d', ...globSync(join(suite.profile.directory, 'rootimg*')), directory]);
  const image = openSync(join(directory, 'rootimg.sfs'), 'r+');
  for (let at = 8_192; at < fstatSync(image).size; at += 65_536) writeSync(image, 'not this', at);
  closeSync(image);
  return join(temp.path, 'damaged');
}

/** What the member copies into the node, and has it run. */
function makeSyncFiles(): void {
  const given = (name: string, text: string) => {
    writeFileSync(member.path(name), text);
    chmodSync(member.path(name), 0o644);
    return member.path(name);
  };
  const settings = 'TYPE=9p\nSOURCE=nodes\nOPTIONS=trans=virtio,version=9p2000.L\nDIRECTORIES="/home"\n';
  member.profile('demo', {
    syncfiles: `${given('step', readFileSync(persistence, 'utf8'))} -> /etc/tetherfs/node.d/50-persistence (permissions=755)
${given('persistence.conf', settings)} -> /etc/tetherfs/persistence.conf
MERGE:
${given('passwd', 'joe:x:1000:1000:Joe:/home/joe:/bin/sh\n')} -> /etc/passwd
`,
    'scripts/onboot.d/10-home':
      '#!/bin/sh\n[ -d /home/joe ] || install -d -o joe /home/joe; echo "$nodename" >>/home/joe/boots\n',
  });
}

it('waits until it is armed, and says so; then it boots what the API says', async () => {
  await machine.says(/tetherfs: the clock was years behind: now it is what a member has told/);
  await machine.says(
    /tetherfs: key: node1 has no key: .* gives none: arm it \("tetherfs collective node arm node1 once"\)/,
  );
  await member.cli('node', 'arm', 'node1', 'once');
  await machine.says(/tetherfs: this is node1, to boot demo, by members /);
  await machine.says(/tetherfs: the TPM keeps the key of this node \(0x81000000\)/);
  await machine.says(/tetherfs: tethered, from \d+ members, every chunk verified against sha256:/);
  await machine.says(/tetherfs: the root file system is there, /);
  await machine.login();
  // Not while systemd still starts everything: that takes all of an emulated processor.
  await machine.run('systemctl is-system-running --wait || true');
  expect(await failedUnits(machine)).toBe('');
  const { image: mounted, reads, members } = await statusOf(machine);
  expect(mounted.digest).toBe(`sha256:${readlinkSync(join(suite.profile.directory, 'rootimg.sfs')).slice(8, -4)}`);
  expect(reads.failed).toBe(0);
  // With a zone it is no URL for Node.
  const states = members.map(({ url, state }) => [/^http:\/\/([^/]+)/.exec(url)?.[1] ?? '', state]);
  // The first member's image does not fit the digest: by which of its addresses it was read is the network's business.
  const found = states.filter(([, state]) => state === 'corrupt').map(([host]) => host);
  expect(found).toContainEqual(expect.stringMatching(/^(?:10\.9\.0\.1|\[fe80:.*)$/));
  expect(found).not.toContain('10.9.0.2');
  expect(states).toContainEqual(['10.9.0.2', 'up']);
});

it('the key of the image came by the API, and nobody but root reads it; none is on the command line', async () => {
  expect(await machine.run('stat -c "%a %u" /run/tetherfs /run/tetherfs/rootimg.key')).toBe('700 0\n600 0\n');
  expect(await machine.run('cat /proc/cmdline')).not.toMatch(/key/);
  const audit = await member.cli('audit', 'node1');
  expect(audit).toMatch(/key granted/);
  expect(audit).toMatch(/key used/);
  expect(audit).toMatch(/image key/);
  expect(await machine.run(`ls ${image}`)).toBe('rootimg.sfs\n');
});

it('then it does what it is to do after the boot, and tells that, and what the boot has read', async () => {
  const record = await waitUntil(
    'its boot is over',
    async () => {
      const text = await machine.run('cat /run/tetherfs/onboot.json');
      const found = JSON.parse(text) as {
        state: string;
        isTraced: boolean;
        steps: { name: string; failed?: string }[];
      };
      return found.isTraced && found;
    },
    { timeoutMs: 120_000 },
  );
  expect(record.state).toBe('booted');
  const names = ['new members', 'files', 'node.d/50-persistence', 'scripts', 'onboot.d/10-home', 'playbooks', 'report'];
  expect(record.steps.map(({ name, failed }) => failed ?? name)).toEqual(names);
  expect(await machine.run('stat -c %U /home/joe; cat /home/joe/boots; date +%Z')).toMatch(/^joe\nnode1\nCES?T\n$/);
  expect(await member.cli('node', 'show', 'node1')).toMatch(/deployment\.state +booted\n/);
  const [newest] = readdirSync(join(member.tree, 'private/os/demo/pending')).filter((name) =>
    name.startsWith('traces-'),
  );
  const traces = readdirSync(join(member.tree, 'private/os/demo/pending', newest ?? ''));
  expect(traces).toEqual(['node1.trace']);
  // Lines are wrapped.
  expect((await machine.run('tetherfs node status')).replaceAll(/\s+/g, ' ')).toMatch(
    /^node1: demo, tethered, from \d+ members image sha256:[0-9a-f ]{64,66}, decrypted by dm-crypt boot members /,
  );
  // Of a boot, not of each start of the service.
  rmSync(join(member.tree, 'private/os/demo/pending', newest ?? '', 'node1.trace'));
  const ended = 'until [ "$(systemctl show --value --property SubState tetherfs-node)" = exited ]; do sleep 1; done';
  await machine.run(`systemctl restart tetherfs-node; ${ended}`);
  expect(readdirSync(join(member.tree, 'private/os/demo/pending', newest ?? ''))).toEqual([]);
});

it('a member that the site has got since is one of its image, too', async () => {
  await member.cli('site', '--image-member', '10.9.0.2', '--image-member', '10.9.0.3');
  await machine.run('systemctl reload tetherfs-node');
  expect((await statusOf(machine)).members.map(({ url }) => url)).toContainEqual(
    expect.stringMatching(/^http:\/\/10\.9\.0\.3\/confluent-public\/os\/demo\/rootimg\.sfs$/),
  );
  expect(await machine.run('systemctl list-timers --no-legend tetherfs-members.timer')).toMatch(/tetherfs-members/);
});

it('whoever believes the site’s authority alone logs in by ssh, to the node that the members say it is', async () => {
  const known = join(temp.path, 'known_hosts');
  writeFileSync(known, await member.cli('ca', 'export', 'ssh'));
  const login = (alias: string, command: string) =>
    sshLogin({ host: '10.9.0.100', identity: join(member.state, 'automation'), known, alias, command });
  // On a machine of the tests it makes other keys first.
  await machine.run('systemctl start ssh');
  expect(await login('node1', 'hostname')).toEqual({ status: 0, stdout: 'node1\n', stderr: '' });
  expect(await login('node2', 'hostname')).toMatchObject({ status: 255, stdout: '' });
  const { stdout } = await login('10.9.0.100', 'grep ^root: /etc/shadow; ssh-keygen -L -f /etc/ssh/*-cert.pub');
  expect(stdout.split(':')[1]).toBe(hash);
  const [, serial] = /Serial: (\d+)/.exec(stdout) ?? [];
  expect(await member.cli('audit', 'node1')).toMatch(new RegExp(`host certificate .*serial ${serial}`));
  const record = JSON.parse(await machine.run('cat /run/tetherfs/boot.json'));
  expect(record).toMatchObject({ identity: { node: 'node1', certificate: serial }, lacks: [] });
  // What systemd makes of it, not of the image.
  expect(await machine.run('hostnamectl --static; cat /etc/machine-id')).toMatch(/^node1\n[0-9a-f]{32}\n$/);
});

it('the next time it needs no grant: its TPM has the key, and gives it to nobody afterwards; a member that hangs meanwhile is not missed', async () => {
  const hostKey = await machine.run('cat /etc/ssh/ssh_host_ed25519_key.pub');
  await machine.powerOff();
  await machine[Symbol.asyncDispose]();
  machine = await switchedOn();
  await machine.says(/tetherfs: this is node1, to boot demo, by members /);
  await machine.says(/tetherfs: the root file system is there, /);
  await suite.site.members[1]?.stop();
  await machine.login();
  expect((await member.cli('audit', 'node1')).match(/key granted/g)).toHaveLength(1);
  expect(await unsealed(machine)).toMatch(/a policy check failed[\s\S]*status 1\n/);
  expect(await machine.run('cat /etc/ssh/ssh_host_ed25519_key.pub')).not.toBe(hostKey);
  const { lacks } = JSON.parse(await machine.run('cat /run/tetherfs/boot.json'));
  expect(lacks).toEqual([]);
  // What was to outlive the boot.
  await machine.run('systemctl is-system-running --wait || true');
  // The service was started three times.
  expect(await machine.run('cat /home/joe/boots')).toBe('node1\n'.repeat(3));
  const { members, reads } = await statusOf(machine);
  expect(reads.failed).toBe(0);
  expect(members.find(({ url }) => url.includes('10.9.0.2'))?.state).toMatch(/^(?:suspect|down)$/);
});
