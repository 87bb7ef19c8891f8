/**
 * The boot of a node of confluent, by hand: the key by the bytes of its clortho, then each request that its scripts make, in their order, by curl. What went over the wire is compared with
 * whole-boot.txt, line by line (but for what is another each time): what upstream's scripts send, and what they take apart.
 */
import { execFile, execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MemberServer, newKey } from '../support/member.ts';

const run = promisify(execFile);
const server = '10.7.0.1';
const own = '10.7.0.5';

let member: MemberServer;
beforeAll(async () => {
  execFileSync('sh', [
    '-c',
    `ip link add v0 type veth peer name v1 && ip addr add ${server}/24 dev v0 && ip link set v0 up && ip link set v1 up &&
     ip addr add ${own}/32 dev lo`,
  ]);
  member = await MemberServer.start();
  member.profile('el9-diskless', {
    'scripts/functions': '# functions of upstream\n',
    'scripts/imageboot.sh': '# imageboot of upstream\n',
    'scripts/onboot.service': '[Service]\n',
    'scripts/onboot.sh': '# onboot of upstream\n',
    'scripts/onboot.d/10-late': 'x',
    'scripts/onboot.d/9-early': 'x',
    'rootimg.sfs': 'an image, by its first bytes',
    'private/pending/rootimg.key': 'aes-xts-plain64\n0123456789abcdef\n',
  });
  member.cliWith(
    '$5$not\n',
    'node',
    'set',
    '--default',
    'dns.domain=example.org',
    'dns.servers=10.7.0.1',
    'timezone=Europe/Berlin',
    '--root-password-file',
    '-',
  );
  await member.cli(
    'node',
    'add',
    'n1',
    `net.ipv4_address=${own}/24`,
    'net.ipv4_gateway=10.7.0.254',
    'deployment.pendingprofile=el9-diskless',
  );
  await member.cli('node', 'add', 'n2');
});
afterAll(() => member?.[Symbol.asyncDispose]());

/** Bytes as the table of upstream has them; `echo` stands for what the member has sent to be said again. @returns the member's, in turns. */
function grant(turns: readonly (string | ((echo: Buffer) => Buffer))[], localPort: number): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server, port: 13_001, localAddress: own, localPort });
    const said: Buffer[] = [];
    let at = 0;
    socket.on('data', (bytes: Buffer) => {
      said.push(bytes);
      const turn = turns[at++];
      if (turn === undefined) return;
      socket.write(typeof turn === 'string' ? Buffer.from(turn, 'hex') : turn(bytes.subarray(2, 34)));
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(said));
  });
}

const hex = (text: string) => Buffer.from(text, 'latin1').toString('hex');
const answerWith = (hash: string) => (echo: Buffer) =>
  Buffer.from(`0320${echo.toString('hex')}0437${hex(hash)}0000`, 'hex');

it('the key, by the bytes of clortho from port 302; and again with the HMAC of its token, which no end follows', async () => {
  await member.cli('node', 'arm', 'n1', 'once');
  const { hash: short } = clorthoKey();
  expect(short).toHaveLength(55);
  expect(short).toMatch(/^\$5\$/);
  const said = await grant([`0102${hex('n1')}0000`, answerWith(short)], 302);
  expect(said.map((bytes) => bytes.toString('hex'))).toEqual([
    'c2d12da880d86aba',
    expect.stringMatching(/^0220[0-9a-f]{64}0000$/),
    '0500',
  ]);
  const [, token = ''] = (await member.cli('node', 'arm', 'n1', 'once', '--token')).trim().split(' ');
  const proof = createHmac('sha256', token).update(short).digest('hex');
  const again = await grant([`0102${hex('n1')}0620${proof}`, answerWith(short)], 302);
  expect(again.at(-1)?.toString('hex')).toBe('0500');
  // Whoever is not armed sees the connection close.
  expect(await grant([`0102${hex('n2')}0000`], 303)).toHaveLength(1);
});

it('every request of the boot, by curl', async () => {
  await member.cli('node', 'arm', 'n1', 'once');
  const { key, hash } = clorthoKey();
  expect((await grant([`0102${hex('n1')}0000`, answerWith(hash)], 304)).at(-1)?.toString('hex')).toBe('0500');
  mkdirSync(member.path('node'));
  const hostKey = member.path('node/ssh_host_ed25519_key');
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', hostKey]);
  writeFileSync(member.path('node/status'), 'state: booted\nstatus: booted\n');
  const lines: string[] = [];
  /** As the scripts call it; of the wire what curl's -v shows, then the body. */
  const curl = async (path: string, ...words: string[]) => {
    const common = ['-sS', '-v', '--http1.1', '-A', 'curl/7.76.1', '--cacert', member.ca, '--interface', own];
    const isApi = path.startsWith('/confluent-api/');
    const shown = isApi ? ['-H', 'CONFLUENT_NODENAME: n1', '-H', `CONFLUENT_APIKEY: ${key}`] : [];
    const { stdout, stderr } = await run('curl', [...common, ...shown, ...words, `https://${server}${path}`]);
    lines.push(
      ...stderr.split(/\r?\n/).filter((line) => /^[<>] ./.test(line)),
      '',
      ...stdout.trimEnd().split(/\r?\n/),
      '',
      '',
    );
    return stdout;
  };
  const self = '/confluent-api/self';
  const profile = '/confluent-public/os/el9-diskless';
  await curl(`${self}/deploycfg2`);
  const certificate = await curl(`${self}/sshcert`, '-X', 'POST', '--data-binary', `@${hostKey}.pub`);
  await curl(`${profile}/scripts/functions`);
  await curl(`${profile}/scripts/imageboot.sh`);
  await curl(`${profile}/rootimg.sfs`, '-I');
  await curl(`${profile}/rootimg.sfs`, '-r', '3-7');
  await curl(`${self}/profileprivate/pending/rootimg.key`);
  await curl(`${self}/nodelist`);
  await curl(`${profile}/scripts/onboot.service`);
  await curl(`${profile}/scripts/onboot.sh`);
  await curl(
    `${self}/remotesyncfiles`,
    '-X',
    'POST',
    '--data',
    `{"merge":"/tmp/m","appendonce":"/tmp/a","myips":["${own}"]}`,
  );
  await curl(`${self}/netcfg`, '-H', 'Accept: application/json');
  await curl(`${self}/scriptlist/onboot.d`);
  await curl(`${self}/remoteconfig/onboot.d`, '-X', 'POST', '--data', '{}');
  await curl(`${self}/remoteconfig/status`);
  await curl(`${self}/updatestatus`, '-X', 'POST', '--data-binary', `@${member.path('node/status')}`);
  const uuid = /^confluent_uuid: (.*)$/m.exec(lines.join('\n'))?.[1] ?? '';
  const text = lines
    .join('\n')
    .replaceAll(key, 'KEY')
    .replaceAll(uuid, 'UUID')
    .replaceAll(certificate.trim(), 'CERTIFICATE')
    .replace(/^((?:< )?(?:date|last-modified|etag|content-length): ).*$/gim, '$1…')
    // Of the list of names, that of this machine.
    .replace(new RegExp(`^${hostname()}\n`, 'm'), '')
    .replace(/^(rootpassword: ).*$/gm, '$1…');
  await expect(text).toMatchFileSnapshot('whole-boot.txt');
  // What sshd shows by it is believed by ssh: into-the-node.test.ts.
  writeFileSync(`${hostKey}-cert.pub`, certificate);
  expect((await run('ssh-keygen', ['-L', '-f', `${hostKey}-cert.pub`])).stdout).toMatch(
    /Type: ssh-ed25519-cert-v01@openssh\.com host certificate[\s\S]*n1\.example\.org/,
  );
  expect(readFileSync(hostKey, 'utf8')).toContain('PRIVATE KEY');
});

/** A key as nodes have it: 32 characters, and a text of 55 (openssl itself makes longer salts than clortho's eight characters). */
function clorthoKey(): { key: string; hash: string } {
  const { key } = newKey();
  const hash = execFileSync('openssl', ['passwd', '-5', '-salt', 'abcdefgh', '-stdin'], {
    input: `${key}\n`,
    encoding: 'utf8',
  }).trim();
  return { key, hash };
}
