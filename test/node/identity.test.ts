/** Who a node is in its new root: given by a real member, and shown by a real sshd that starts with what lies there. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ServerProgram } from '../support/server-program.ts';
import { sshLogin } from '../support/ssh-login.ts';
import { answersSsh } from '../support/sshd.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { memberAddress, Neighbours, nodeAddress } from './neighbours.ts';

const temp = makeTempDir('identity');
const root = join(temp.path, 'root');
const at = (path: string) => join(root, path);
const text = (path: string) => readFileSync(at(path), 'utf8');
const hash = '$6$saltsalt$abcdefghijklmnopqrstuvwxyz';

interface Given {
  identity: { node: string; certificate?: string };
  rootNetwork: { by?: string; devices: string[] };
  lacks: string[];
  said: string[];
  key: string;
}

let neighbours: Neighbours;
let given: Given;

/** The node is armed, and boots. */
async function boot(): Promise<Given> {
  await neighbours.member.cli('node', 'arm', 'n1', 'once');
  return neighbours.asNode<Given>('identity', { root });
}

/** What counts here of a Debian, which is this machine's; a link means what it means there. */
function makeRoot(): void {
  for (const path of ['etc/ssh', 'etc/ssl/certs', 'usr/sbin', 'usr/bin', 'root', 'usr/lib/hosts', 'run'])
    mkdirSync(at(path), { recursive: true });
  for (const name of ['sshd_config', 'ssh_config']) cpSync(join('/etc/ssh', name), at(`etc/ssh/${name}`));
  cpSync('/etc/ssl/certs/ca-certificates.crt', at('etc/ssl/certs/ca-certificates.crt'));
  for (const name of ['usr/sbin/sshd', 'usr/bin/ssh']) writeFileSync(at(name), '');
  writeFileSync(at('etc/passwd'), 'root:x:0:0:root:/root:/bin/bash\nroots:x:1:1::/home/roots:/bin/sh\n');
  writeFileSync(at('etc/shadow'), 'roots:*:19000:0:99999:7:::\nroot:*:19000:0:99999:7:::\n', { mode: 0o640 });
  execFileSync('chown', ['0:42', at('etc/shadow')]);
  writeFileSync(at('usr/lib/hosts/own'), '127.0.0.1 localhost\n');
  symlinkSync('/usr/lib/hosts/own', at('etc/hosts'));
  writeFileSync(at('etc/ssh/ssh_host_rsa_key'), 'everybody has it who has the image');
}

beforeAll(async () => {
  neighbours = await Neighbours.make();
  const { member } = neighbours;
  member.profile('demo', { 'scripts/functions': '# upstream’s\n' });
  member.cliWith(
    `${hash}\n`,
    'node',
    'set',
    'n1',
    'dns.domain=example.org',
    'dns.servers=10.7.0.1',
    '--root-password-file',
    '-',
  );
  await member.cli('node', 'add', 'n2');
  makeRoot();
  given = await boot();
});
afterAll(async () => {
  await neighbours?.[Symbol.asyncDispose]();
  temp.remove();
});

it('it has its name, its password and its machine id; rights and owners are as they were', () => {
  expect(given).toMatchObject({ identity: { node: 'n1', certificate: expect.stringMatching(/^\d+$/) }, lacks: [] });
  expect(text('etc/hostname')).toBe('n1\n');
  // The link is the image's, and leads nowhere outside of it.
  expect(text('usr/lib/hosts/own')).toBe(`127.0.0.1 localhost\n${nodeAddress} n1.example.org n1\n`);
  expect(text('etc/machine-id')).toMatch(/^[0-9a-f]{32}\n$/);
  expect(text('etc/shadow')).toBe(`roots:*:19000:0:99999:7:::\nroot:${hash}:19000:0:99999:7:::\n`);
  const { mode, uid, gid } = statSync(at('etc/shadow'));
  expect({ mode: mode & 0o777, uid, gid }).toEqual({ mode: 0o640, uid: 0, gid: 42 });
});

it('upstream’s scripts find what they read', () => {
  expect(text('etc/confluent/confluent.apikey')).toBe(`${given.key}\n`);
  expect(text('etc/confluent/confluent.deploycfg')).toMatch(/^profile: demo$/m);
  expect(text('etc/confluent/functions')).toBe('# upstream’s\n');
  expect(text('etc/confluent/ca.pem')).toMatch(/BEGIN CERTIFICATE/);
  expect(text('etc/confluent/confluent.info')).toMatch(/^NODENAME: n1\nMANAGER: /);
  expect(text('etc/confluent/confluent.info')).toContain(`MANAGER: ${memberAddress}\n`);
  for (const name of ['confluent.apikey', 'confluent.deploycfg'])
    expect(statSync(at(`etc/confluent/${name}`)).mode & 0o777).toBe(0o600);
  expect(statSync(at('etc/confluent/apiclient')).mode & 0o777).toBe(0o755);
});

it('programs of the image believe the members', () => {
  const bundle = at('etc/ssl/certs/ca-certificates.crt');
  const shown = join(neighbours.member.state, 'member.pem');
  expect(execFileSync('openssl', ['verify', '-CAfile', bundle, shown], { encoding: 'utf8' })).toMatch(/: OK\n$/);
  const hashed = readdirSync(join(neighbours.trust, 'tls')).find((name) => /^[0-9a-f]{8}\.0$/.test(name)) ?? '';
  expect(existsSync(at('usr/local/share/ca-certificates/tetherfs-site.crt'))).toBe(true);
  expect(readdirSync(at('etc/ssl/certs'))).toContain(hashed);
});

it('a sshd with what lies there lets the site’s keys in, and shows a certificate that the authority alone makes believed', async () => {
  const known = join(temp.path, 'known_hosts');
  writeFileSync(known, await neighbours.member.cli('ca', 'export', 'ssh'));
  mkdirSync('/run/sshd', { recursive: true });
  execFileSync('sh', ['-ec', `mount --bind ${at('etc/ssh')} /etc/ssh; mount --bind ${at('root')} /root`]);
  try {
    const log = join(temp.path, 'sshd.log');
    await using _sshd = await ServerProgram.start({
      command: ['ip', 'netns', 'exec', 'node', '/usr/sbin/sshd', '-D', '-E', log],
      config: () => '',
      ready: () => answersSsh(nodeAddress),
    });
    const login = (alias: string) =>
      sshLogin({
        host: nodeAddress,
        identity: join(neighbours.member.state, 'automation'),
        known,
        alias,
        command: 'echo in',
      });
    for (const name of ['n1', 'n1.example.org', nodeAddress])
      expect(await login(name)).toMatchObject({ status: 0, stdout: 'in\n' });
    expect(await login('n2')).toMatchObject({
      status: 255,
      stderr: expect.stringMatching(/Certificate invalid|not in.*list/),
    });
    expect(readFileSync(log, 'utf8')).not.toMatch(/deprecated|unsupported|unable to load host key/i);
    // As ssh reads it that a user of the node calls.
    const settings = execFileSync('ssh', ['-G', 'n2'], { encoding: 'utf8', stdio: 'pipe' });
    expect(settings).toMatch(/^hostbasedauthentication yes$/m);
    expect(settings).toMatch(/^enablesshkeysign yes$/m);
  } finally {
    execFileSync('umount', ['/etc/ssh', '/root']);
  }
  expect(text('etc/ssh/ssh_known_hosts')).toMatch(/^@cert-authority \* ssh-ed25519 /);
  expect(text('etc/ssh/shosts.equiv')).toMatch(/^n1\nn1\.example\.org\nn2\n/m);
  expect(statSync(at('etc/ssh/ssh_host_ed25519_key')).mode & 0o777).toBe(0o600);
  expect(readdirSync(at('etc/ssh'))).not.toContain('ssh_host_rsa_key');
});

it('at the next boot the key is another one, the machine the same; nothing is there twice', async () => {
  const files = ['etc/ssh/ssh_known_hosts', 'root/.ssh/authorized_keys', 'etc/machine-id', 'usr/lib/hosts/own'];
  const others = ['etc/ssl/certs/ca-certificates.crt', 'etc/ssh/ssh_config', 'etc/ssh/sshd_config'];
  const all = () => [...files, ...others].map((path) => [path, text(path)]);
  const [before, key] = [all(), text('etc/ssh/ssh_host_ed25519_key.pub')];
  given = await boot();
  expect(all()).toEqual(before);
  expect(text('etc/ssh/ssh_host_ed25519_key.pub')).not.toBe(key);
});

it('a certificate that nobody would believe is none: the node boots, and says what it lacks', async () => {
  const own = readdirSync(join(neighbours.trust, 'ssh')).filter((name) => name.endsWith('.ca'));
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(temp.path, 'stranger')]);
  for (const name of own) cpSync(join(temp.path, 'stranger.pub'), join(neighbours.trust, 'ssh', name));
  const { identity, lacks } = await boot();
  neighbours.unpackArchive();
  const words = /ssh host key has no certificate: .*: invalid, it is signed by no authority of the site archive/;
  expect(identity).toEqual({ node: 'n1', profile: 'demo' });
  expect(lacks).toEqual([expect.stringMatching(words)]);
  expect(text('etc/ssh/sshd_config.d/00-tetherfs.conf')).not.toMatch(/HostCertificate/);
});

it('it has its time zone, and asks the site’s servers for the time, whoever does that in the image', async () => {
  const cli = (...words: string[]) => neighbours.member.cli(...words);
  await cli('node', 'set', 'n1', 'timezone=Europe/Berlin', 'ntp.servers=10.7.0.1,fe80::1%eth0');
  const chrony = '# of the image\npool 2.debian.pool.ntp.org iburst\n  server old.example.org\nmakestep 1 3\n';
  for (const path of ['etc/chrony', 'usr/share/zoneinfo/Europe', 'usr/lib/systemd'])
    mkdirSync(at(path), { recursive: true });
  for (const path of ['usr/share/zoneinfo/Europe/Berlin', 'usr/lib/systemd/systemd-timesyncd', 'etc/timezone'])
    writeFileSync(at(path), '');
  writeFileSync(at('etc/chrony/chrony.conf'), chrony);
  for (const round of [1, 2]) {
    expect([round, (await boot()).lacks]).toEqual([round, []]);
    expect(readlinkSync(at('etc/localtime'))).toBe('/usr/share/zoneinfo/Europe/Berlin');
    expect(text('etc/timezone')).toBe('Europe/Berlin\n');
    expect(text('etc/chrony/chrony.conf')).toBe(
      'server 10.7.0.1 iburst\nserver fe80::1%eth0 iburst\n# of the image\nmakestep 1 3\n',
    );
    expect(text('etc/systemd/timesyncd.conf.d/90-tetherfs.conf')).toBe('[Time]\nNTP=\nNTP=10.7.0.1 fe80::1%eth0\n');
  }
  await cli('node', 'set', 'n1', 'timezone=Mars/Olympus');
  for (const path of ['usr/lib/systemd/systemd-timesyncd', 'etc/chrony/chrony.conf']) rmSync(at(path));
  expect((await boot()).lacks).toEqual([
    'its time zone is that of the image: Mars/Olympus is not in /usr/share/zoneinfo',
    'nobody asks 10.7.0.1, fe80::1%eth0 for the time: the image has none of systemd-timesyncd, chrony, ntpsec',
  ]);
  await cli('node', 'set', 'n1', 'timezone=', 'ntp.servers=');
  given = await boot();
});

it('whoever sets up the network in the image is told; where nobody does, that is said', async () => {
  const { rootNetwork, said, lacks } = given;
  expect({ rootNetwork, lacks }).toEqual({ rootNetwork: { devices: ['v1'] }, lacks: [] });
  expect(said.at(-1)).toBe(
    'the image has none of netplan, NetworkManager, systemd-networkd, ifupdown: v1 of this node stay as the initramfs has set them up',
  );
  // Each of these goes before the one before it.
  const files = {
    'usr/sbin/ifup': ['ifupdown', 'etc/network/interfaces.d/tetherfs'],
    'etc/systemd/system/multi-user.target.wants/systemd-networkd.service': [
      'systemd-networkd',
      'run/systemd/network/05-tetherfs-v1.network',
    ],
    'etc/systemd/system/multi-user.target.wants/NetworkManager.service': [
      'NetworkManager',
      'run/NetworkManager/system-connections/tetherfs-v1.nmconnection',
    ],
    'usr/sbin/netplan': ['netplan', 'run/netplan/90-tetherfs.yaml'],
  } as const;
  for (const [sign, [by, file]] of Object.entries(files)) {
    mkdirSync(join(at(sign), '..'), { recursive: true });
    writeFileSync(at(sign), '');
    expect((await boot()).rootNetwork).toEqual({ by, devices: ['v1'] });
    expect(text(file)).toContain('v1');
  }
  expect(text('etc/resolv.conf')).toBe('search example.org\nnameserver 10.7.0.1\n');
});
