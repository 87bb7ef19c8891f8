/** A member as one command makes it, and what nodes get from it: real sockets, real ssh-keygen, openssl and curl. */
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { checkoutCommand } from '../support/daemon.ts';
import { askForKey, MemberServer, memberUser, newKey } from '../support/member.ts';
import { waitUntil } from '../support/wait-until.ts';

const run = promisify(execFile);
const digest = 'ab'.repeat(32);

let member: MemberServer;
beforeAll(async () => {
  execFileSync('sh', [
    '-c',
    'ip link add v0 type veth peer name v1 && ip addr add 10.7.0.1/24 dev v0 && ip link set v0 up && ip link set v1 up',
  ]);
  member = await MemberServer.start();
  member.profile('demo', {
    'scripts/onboot.d/10-late': 'x',
    'scripts/onboot.d/2-early': 'x',
    'scripts/functions': '# functions\n',
    [`rootimg-${digest}.sfs`]: 'image',
    'private/pending/rootimg.key': 'NEWEST KEY\n',
    [`private/pending/rootimg-${'cd'.repeat(32)}.key`]: 'OLDER KEY\n',
    'private/secret': 'not pending',
    'boot/initramfs/distribution': 'x',
  });
  execFileSync('ln', ['-s', `rootimg-${digest}.sfs`, join(member.tree, 'public/os/demo/rootimg.sfs')]);
});
afterAll(() => member?.[Symbol.asyncDispose]());

/** As ls -l has them. */
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe('one command is a whole member', () => {
  it('says in ten lines at most what it has made and what is next', () => {
    const lines = member.said.trim().split('\n');
    expect(lines.length).toBeLessThanOrEqual(10);
    expect(member.said).toMatch(/^member \S+ of site [0-9a-f-]{36}$/m);
    expect(member.said).toMatch(/^made: authorities for tls and ssh$/m);
    expect(member.said).toMatch(
      /^listens: HTTPS on port 443; HTTP on port 80, the public part alone; grants on port 13001; discovery on port 1900$/m,
    );
    expect(member.said).toMatch(/^next: tetherfs collective node add/m);
  });

  it('is not root any more, in no thread and by no capability', () => {
    const uid = execFileSync('id', ['-u', memberUser], { encoding: 'utf8' }).trim();
    for (const thread of readdirSync(`/proc/${member.pid}/task`)) {
      const status = readFileSync(`/proc/${member.pid}/task/${thread}/status`, 'utf8');
      expect(status).toMatch(new RegExp(`^Uid:\t${uid}\t${uid}\t${uid}\t${uid}$`, 'm'));
      expect(status).toMatch(/^CapEff:\t0+$/m);
      expect(status).toMatch(new RegExp(`^Groups:\t${uid} $`, 'm'));
    }
  });

  it('what is private is its user’s alone; the public part is not above it', () => {
    const uid = Number(execFileSync('id', ['-u', memberUser], { encoding: 'utf8' }));
    for (const name of ['', 'master.key', 'automation', 'member.key', 'collective.sqlite']) {
      const path = join(member.state, name);
      expect([path, mode(path), statSync(path).uid]).toEqual([path, name === '' ? '700' : '600', uid]);
    }
    expect(mode(join(member.tree, 'private'))).toBe('700');
    expect(mode(join(member.tree, 'public'))).toBe('755');
  });

  it('gives everybody the public part, in ranges, over HTTPS and HTTP; the API over HTTPS alone', async () => {
    const url = '127.0.0.1/confluent-public/os/demo/scripts/functions';
    for (const words of [['--cacert', member.ca, `https://${url}`], [`http://${url}`]]) {
      const { stdout } = await run('curl', ['-sf', '-r', '2-6', ...words]);
      expect(stdout).toBe('funct');
    }
    const answer = await run('curl', [
      '-s',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      'http://127.0.0.1/confluent-api/healthz',
    ]);
    expect(answer.stdout).toBe('404');
    expect(await member.askAnybody('/confluent-api/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
  });

  it('its certificate is for every address and name that it has, by an authority that is valid whatever the node’s clock says', async () => {
    for (const host of ['127.0.0.1', '10.7.0.1'])
      expect((await member.askAnybody('/confluent-api/healthz', { host })).status).toBe(200);
    const { stdout } = await run('openssl', ['x509', '-noout', '-dates', '-in', member.ca]);
    expect(stdout).toBe('notBefore=Jan  1 00:00:00 1970 GMT\nnotAfter=Jan  1 00:00:00 2100 GMT\n');
    const verify = ['verify', '-CAfile', member.ca, '-attime', String(Date.UTC(2000, 0, 2) / 1000)];
    await run('openssl', [...verify, join(member.state, 'member.pem')]);
  });
});

describe('a node gets its key', () => {
  it('when it is armed, once, for the peer that has asked; the key is its own when it is used', async () => {
    await member.cli('node', 'add', 'k1', 'deployment.pendingprofile=demo');
    expect(await askForKey('k1')).toBeUndefined();
    await member.cli('node', 'arm', 'k1', 'once');
    const lost = await askForKey('k1');
    const key = await askForKey('k1');
    expect([lost, key]).toEqual([expect.any(String), expect.any(String)]);
    // Another peer of the same arming, while the key waits for its first use.
    expect(await askForKey('k1', { from: '127.0.0.2' })).toBeUndefined();
    expect((await member.ask('deploycfg2', 'k1', lost ?? '')).status).toBe(401);
    expect((await member.ask('deploycfg2', 'k1', key ?? '')).status).toBe(200);
    expect(await askForKey('k1')).toBeUndefined();
    // The key stays good.
    expect((await member.ask('deploycfg2', 'k1', key ?? '')).status).toBe(200);
  });

  it('the key of before is good until the new one is used, and its use disarms nothing', async () => {
    const old = await member.nodeWithKey('k2');
    expect((await member.ask('myattribs', 'k2', old)).status).toBe(200);
    await member.cli('node', 'arm', 'k2', 'once');
    expect((await member.ask('myattribs', 'k2', old)).status).toBe(200);
    const key = (await askForKey('k2')) ?? '';
    expect((await member.ask('myattribs', 'k2', old)).status).toBe(200);
    expect((await member.ask('myattribs', 'k2', key)).status).toBe(200);
    expect((await member.ask('myattribs', 'k2', old)).status).toBe(401);
  });

  it('not from a port that anybody may have', async () => {
    await member.cli('node', 'add', 'k3');
    await member.cli('node', 'arm', 'k3', 'continuous');
    expect(await askForKey('k3', { port: 40_000 })).toBeUndefined();
    expect(await askForKey('k3')).toEqual(expect.any(String));
    await member.cli('node', 'disarm', 'k3');
    expect(await askForKey('k3')).toBeUndefined();
  });

  it('by its token, once, from anywhere; over HTTPS, too', async () => {
    await member.cli('node', 'add', 'k4,k5');
    const tokens = new Map(
      (await member.cli('node', 'arm', 'k4,k5', 'once', '--token'))
        .trim()
        .split('\n')
        .map((line) => line.split(' ') as [string, string]),
    );
    expect([...tokens.values()].every((token) => /^[A-Za-z0-9./]{32}$/.test(token))).toBe(true);
    expect(await askForKey('k4', { token: 'x'.repeat(32) })).toBeUndefined();
    const key = (await askForKey('k4', { token: tokens.get('k4') ?? '' })) ?? '';
    expect((await member.ask('myattribs', 'k4', key)).status).toBe(200);
    expect(await askForKey('k4', { token: tokens.get('k4') ?? '' })).toBeUndefined();

    const made = newKey();
    const hmac = (token: string) =>
      execFileSync('openssl', ['dgst', '-sha256', '-hmac', token, '-binary'], { input: made.hash }).toString('base64');
    const register = (proof: string, body = made.hash) =>
      member.askAnybody('/confluent-api/self/registerapikey', {
        method: 'POST',
        body,
        headers: { CONFLUENT_NODENAME: 'k5', CONFLUENT_CRYPTHMAC: proof },
      });
    expect((await register(hmac('wrong'))).status).toBe(401);
    expect((await register('no base64')).status).toBe(400);
    expect((await register(hmac(tokens.get('k5') ?? ''), `${made.hash}${'x'.repeat(20)}`)).status).toBe(413);
    expect(await register(hmac(tokens.get('k5') ?? ''))).toMatchObject({ status: 200, body: 'Accepted' });
    expect((await member.ask('myattribs', 'k5', made.key)).status).toBe(200);
    expect((await register(hmac(tokens.get('k5') ?? ''))).status).toBe(401);
  });

  it('with a key of any length that a crypt(3) text can be of: 32 characters is what nodes have', async () => {
    const key = await member.nodeWithKey('k6');
    expect(key).toHaveLength(32);
    expect((await member.ask('myattribs', 'k6', key)).status).toBe(200);
  });
});

describe('who shows no key, or a wrong one,', () => {
  it('gets the same word, whatever is wrong', async () => {
    const key = await member.nodeWithKey('w1');
    for (const [node, given] of [
      ['w1', 'wrong'],
      ['w1', `${key}x`],
      ['w1', 'x'.repeat(60)],
      ['nobody', key],
      ['../w1', key],
    ] as const) {
      expect(await member.ask('deploycfg2', node, given)).toMatchObject({ status: 401, body: 'Unauthorized' });
    }
    expect((await member.askAnybody('/confluent-api/self/deploycfg2')).status).toBe(401);
    const dashes = { 'CONFLUENT-NODENAME': 'w1', 'CONFLUENT-APIKEY': key };
    expect((await member.askAnybody('/confluent-api/self/deploycfg2', { headers: dashes })).status).toBe(401);
    expect(
      (
        await member.askAnybody('/confluent-api/self/deploycfg2', {
          headers: { 'CONFLUENT-NODENAME': 'w1', CONFLUENT_APIKEY: key },
        })
      ).status,
    ).toBe(200);
  });

  it('is given at once when the node is armed, however often it has asked before; the audit has ten of these', async () => {
    await member.cli('node', 'add', 'w4');
    for (let number = 0; number < 15; number++) expect(await askForKey('w4')).toBeUndefined();
    await member.cli('node', 'arm', 'w4', 'once');
    expect(await askForKey('w4')).toBeDefined();
    expect((await member.cli('audit', 'w4')).match(/key refused/g)).toHaveLength(10);
  });

  it('is not looked at any more after ten tries in a minute; others are', async () => {
    const key = await member.nodeWithKey('w2');
    const tries: number[] = [];
    for (let number = 0; number < 12; number++)
      tries.push((await member.ask('myattribs', 'w2', `wrong ${number}`)).status);
    expect(tries.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 401));
    expect(tries.slice(10)).toEqual([429, 429]);
    const other = await member.nodeWithKey('w3');
    expect((await member.ask('myattribs', 'w3', other)).status).toBe(200);
    // Also not with the right one, from there: it could be guessed otherwise.
    expect((await member.ask('myattribs', 'w2', key)).status).toBe(429);
  });
});

describe('a node’s requests', () => {
  let key: string;
  beforeAll(async () => {
    member.cliWith(
      'root password\n',
      'node',
      'set',
      '--default',
      'dns.domain=example.org',
      'dns.servers=10.7.0.1,10.7.0.2',
      '--root-password-file',
      '-',
    );
    const attributes = [
      'net.ipv4_address=10.7.0.5',
      'net.ipv4_gateway=10.7.0.254',
      'net.ib.ipv4_address=10.8.0.5/16',
      'net.ib.hostname=n1-ib',
      'net.ib.mtu=2044',
    ];
    key = await member.nodeWithKey(
      'n1',
      ...attributes,
      'net.hwaddr=52:54:00:12:34:56',
      'deployment.pendingprofile=demo',
      'console.method=ipmi',
    );
  });

  it('deploycfg2: what it is to be, by the network on which it came, with the digest of its image', async () => {
    const { body, headers } = await member.ask('deploycfg2', 'n1', key, { host: '10.7.0.1' });
    expect(headers['content-type']).toContain('yaml');
    expect(parse(body)).toMatchObject({
      profile: 'demo',
      image_digest: `sha256:${digest}`,
      members: ['10.7.0.1'],
      protocol: 'https',
      deploy_server: '10.7.0.1',
      deploy_server_v6: null,
      ipv4_method: 'static',
      ipv4_address: '10.7.0.5',
      prefix: 24,
      ipv4_netmask: '255.255.255.0',
      ipv4_gateway: '10.7.0.254',
      nameservers: ['10.7.0.1', '10.7.0.2'],
      dnsdomain: 'example.org',
      rootpassword: expect.stringMatching(/^\$6\$/),
      textconsole: true,
      confluent_uuid: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    const old = await member.ask('deploycfg', 'n1', key, { host: '10.7.0.1', headers: { accept: 'application/json' } });
    expect(JSON.parse(old.body)).toMatchObject({ ipv4_address: '10.7.0.5' });
    expect(old.body).not.toContain('v6');
    expect((await member.ask('deploycfg2', 'n1', key, { headers: { accept: 'text/html' } })).status).toBe(406);
  });

  it('an interface that it names is meant instead of the one by which it came', async () => {
    const index = execFileSync('ip', ['-o', 'link', 'show', 'v0'], { encoding: 'utf8' }).split(':', 1)[0] ?? '';
    for (const named of ['v0', index]) {
      const { body } = await member.ask('deploycfg2', 'n1', key, { headers: { CONFLUENT_MGTIFACE: named } });
      expect(parse(body)).toMatchObject({ ipv4_address: '10.7.0.5', deploy_server: '10.7.0.1' });
    }
  });

  it('netcfg: all its networks', async () => {
    const { body } = await member.ask('netcfg', 'n1', key, {
      host: '10.7.0.1',
      headers: { accept: 'application/json' },
    });
    expect(JSON.parse(body)).toMatchObject({
      default: {
        ipv4_method: 'static',
        ipv4_address: '10.7.0.5/24',
        ipv4_gateway: '10.7.0.254',
        hwaddr: '52:54:00:12:34:56',
        current_nic: true,
      },
      extranets: {
        ib: { ipv4_method: 'static', ipv4_address: '10.8.0.5/16', ipv4_netmask: '255.255.0.0', mtu: '2044' },
      },
    });
  });

  it('myattribs: all but secrets', async () => {
    const { body } = await member.ask('myattribs', 'n1', key);
    expect(parse(body)).toMatchObject({ 'dns.domain': 'example.org', 'net.ib.hostname': 'n1-ib' });
    expect(body).not.toMatch(/crypted|\$6\$/);
  });

  it('sshcert: a certificate that ssh believes, for its names and addresses, and none of loopback', async () => {
    const file = member.path('host');
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
    const { body, status } = await member.ask('sshcert', 'n1', key, {
      method: 'POST',
      body: readFileSync(`${file}.pub`, 'utf8'),
    });
    expect(status).toBe(200);
    writeFileSync(`${file}-cert.pub`, body);
    const { stdout } = await run('ssh-keygen', ['-L', '-f', `${file}-cert.pub`]);
    expect(stdout).toContain('host certificate');
    expect(stdout).toContain('Key ID: "n1"');
    const [, principals = ''] = /Principals:\s*\n(.*?)\n\s*Critical/s.exec(stdout) ?? [];
    expect(principals.trim().split(/\s+/)).toEqual([
      'n1',
      'n1.example.org',
      'n1-ib',
      'n1-ib.example.org',
      '10.7.0.5',
      '10.8.0.5',
    ]);
    for (const bad of ['', 'not a key', readFileSync(file, 'utf8'), 'ssh-ed25519 AAAA\nssh-ed25519 BBBB']) {
      expect((await member.ask('sshcert', 'n1', key, { method: 'POST', body: bad })).status).toBe(400);
    }
  });

  it('tlscert: for the key of its request, for its own names, whatever the request says', async () => {
    const [file, csr] = [member.path('n1.key'), member.path('n1.csr')];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    await run('openssl', [
      'req',
      '-new',
      ...curve,
      '-keyout',
      file,
      '-subj',
      '/CN=evil',
      '-addext',
      'subjectAltName=DNS:evil',
      '-out',
      csr,
    ]);
    const { body } = await member.ask('tlscert', 'n1', key, { method: 'POST', body: readFileSync(csr, 'utf8') });
    writeFileSync(member.path('n1.pem'), body);
    await run('openssl', ['verify', '-CAfile', member.ca, member.path('n1.pem')]);
    const { stdout } = await run('openssl', ['x509', '-noout', '-text', '-in', member.path('n1.pem')]);
    expect(stdout).toContain('CN = n1');
    expect(stdout).toContain('DNS:n1.example.org');
    expect(stdout).toContain('IP Address:10.7.0.5');
    expect(stdout).not.toContain('evil');
    expect((await member.ask('tlscert', 'n1', key, { method: 'POST', body: 'no request' })).status).toBe(400);
  });

  it('nodelist: lines for who takes anything, a list for who asks for one', async () => {
    const lines = (await member.ask('nodelist', 'n1', key)).body.split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        'k1',
        'k1.example.org',
        'n1',
        'n1-ib.example.org',
        execFileSync('hostname', { encoding: 'utf8' }).trim(),
      ]),
    );
    expect(lines).not.toContain('localhost');
    const yaml = await member.ask('nodelist', 'n1', key, { headers: { accept: 'application/yaml' } });
    expect(parse(yaml.body)).toEqual(lines.filter(Boolean));
    await member.cli('node', 'set', 'n1', 'ssh.trustnodes=k1,k2');
    expect((await member.ask('nodelist', 'n1', key)).body).toBe('k1\nk1.example.org\nk2\nk2.example.org\n');
  });

  it('scriptlist: in the order in which they are run; nothing where there are none, or outside', async () => {
    expect((await member.ask('scriptlist/onboot.d', 'n1', key)).body).toBe('- 2-early\n- 10-late\n');
    expect((await member.ask('scriptlist/onboot', 'n1', key)).body).toBe('- 2-early\n- 10-late\n');
    for (const other of ['firstboot.d', '..', '../../../..', '%2e%2e/%2e%2e'])
      expect((await member.ask(`scriptlist/${other}`, 'n1', key)).body).toBe('');
  });

  it('profileprivate: the key of what it is to boot; nothing that is not pending', async () => {
    expect(await member.ask('profileprivate/pending/rootimg.key', 'n1', key)).toMatchObject({
      status: 200,
      body: 'NEWEST KEY\n',
    });
    for (const other of [
      'nothing',
      '../secret',
      '%2e%2e/secret',
      '..%2fsecret',
      '',
      '.',
      'rootimg.key/',
      `${'../'.repeat(12)}etc/hostname`,
      '%00',
    ]) {
      const { status } = await member.ask(`profileprivate/pending/${other}`, 'n1', key);
      expect([other, status]).toEqual([other, expect.toBeOneOf([404, 400])]);
    }
    await member.cli('node', 'set', 'n1', 'deployment.pendingprofile=');
    expect((await member.ask('profileprivate/pending/rootimg.key', 'n1', key)).status).toBe(400);
    await member.cli('profile', 'set', 'demo', 'n1', '--tree', member.tree);
  });

  it('imagekey: of any digest that has one', async () => {
    expect((await member.ask(`imagekey/${digest}`, 'n1', key)).body).toBe('NEWEST KEY\n');
    expect((await member.ask(`imagekey/${'cd'.repeat(32)}`, 'n1', key)).body).toBe('OLDER KEY\n');
    for (const other of ['ef'.repeat(32), 'x', '..%2f..%2fsecret'])
      expect((await member.ask(`imagekey/${other}`, 'n1', key)).status).toBe(404);
  });

  it('a key that the member may not read is no missing one', async () => {
    const file = join(member.tree, 'private/os/demo/pending/rootimg.key');
    const { uid, gid, mode } = statSync(file);
    chownSync(file, 0, 0);
    chmodSync(file, 0o600);
    for (const path of [`imagekey/${digest}`, 'profileprivate/pending/rootimg.key']) {
      expect(await member.ask(path, 'n1', key)).toMatchObject({
        status: 500,
        body: expect.stringContaining(`${file} cannot be read by ${memberUser}, as whom this member runs`),
      });
    }
    chownSync(file, uid, gid);
    chmodSync(file, mode);
    expect((await member.ask(`imagekey/${digest}`, 'n1', key)).body).toBe('NEWEST KEY\n');
  });

  it('an image that root packs after the start is served, its key and digest with it', async () => {
    const tree = member.path('packed-tree');
    execFileSync('sh', ['-ec', `mkdir -p ${tree}/etc; echo hello >${tree}/etc/hello`]);
    const to = join(member.tree, 'public/os/packed');
    await run(checkoutCommand, ['image', 'pack', tree, to, '--private-dir', join(member.tree, 'private/os/packed')]);
    await member.cli('profile', 'set', 'packed', 'n1', '--tree', member.tree);
    const { image_digest: packed } = parse((await member.ask('deploycfg2', 'n1', key)).body) as {
      image_digest: string;
    };
    const { body } = await member.ask(`imagekey/${packed.slice('sha256:'.length)}`, 'n1', key);
    expect(body).toMatch(/^aes-xts-plain64\n[0-9a-f]{64}\n$/);
    expect((await member.ask('profileprivate/pending/rootimg.key', 'n1', key)).body).toBe(body);
    await run('curl', [
      '-sf',
      '-o',
      '/dev/null',
      '--cacert',
      member.ca,
      'https://127.0.0.1/confluent-public/os/packed/rootimg.sfs.fsverity',
    ]);
    await member.cli('profile', 'set', 'demo', 'n1', '--tree', member.tree);
  });

  it('whoami: by UUID or MAC address', async () => {
    const ask = (ids: string) => member.askAnybody('/confluent-api/self/whoami', { headers: { CONFLUENT_IDS: ids } });
    expect(await ask('uuid=00000000-0000-0000-0000-000000000000/mac=52:54:00:12:34:56')).toMatchObject({
      status: 200,
      body: 'n1',
    });
    expect((await ask('mac=52:54:00:00:00:99')).status).toBe(404);
    expect((await member.askAnybody('/confluent-api/self/whoami')).status).toBe(400);
  });

  it('updatestatus: a diskless node that has booted keeps what it is to boot; an installed one does not', async () => {
    const update = (body: string) => member.ask('updatestatus', 'n1', key, { method: 'POST', body });
    const attributes = async () =>
      JSON.parse(await member.cli('node', 'show', 'n1', '--json')).attributes as Record<string, string>;
    expect(await update('state: booting\nstate_detail: "reading: the image"\n')).toMatchObject({
      status: 200,
      body: 'Accepted',
    });
    expect(await update('state: booted\nstatus: booted\n')).toMatchObject({ status: 200, body: 'OK' });
    expect(await attributes()).toMatchObject({
      'deployment.state': 'booted',
      'deployment.state_detail': 'reading: the image',
      'deployment.profile': 'demo',
      'deployment.pendingprofile': 'demo',
      'deployment.client_ip': '127.0.0.1',
    });
    for (const bad of ['', 'status: dancing', '- a', 'state: &a [*a]', `state: ${'x'.repeat(9_000)}`])
      expect((await update(bad)).status).toBeGreaterThanOrEqual(400);
    await update('status: staged');
    expect(await attributes()).toMatchObject({ 'deployment.stagedprofile': 'demo' });
    expect(Object.keys(await attributes())).not.toContain('deployment.pendingprofile');
    await update('status: complete');
    expect(Object.keys(await attributes())).not.toContain('deployment.stagedprofile');
    expect(await update('status: staged')).toMatchObject({
      status: 500,
      body: expect.stringMatching(/No pending profile/),
    });
    // It runs what it has booted, though nothing is to come.
    expect(await update('state: booted\nstatus: booted\n')).toMatchObject({ status: 200, body: 'OK' });
    expect(await attributes()).toMatchObject({ 'deployment.state': 'booted', 'deployment.profile': 'demo' });
    await member.cli('profile', 'set', 'demo', 'n1', '--tree', member.tree);
  });

  it('remotesyncfiles and remoteconfig: nothing to do where the profile has nothing', async () => {
    expect(
      await member.ask('remotesyncfiles', 'n1', key, {
        method: 'POST',
        body: '{"merge":"/tmp/m","appendonce":"/tmp/a","myips":[]}',
      }),
    ).toMatchObject({ status: 200, body: 'No synclist' });
    expect((await member.ask('remotesyncfiles', 'n1', key)).status).toBe(204);
    expect(await member.ask('remoteconfig/onboot.d', 'n1', key, { method: 'POST', body: '{}' })).toMatchObject({
      status: 200,
      body: 'OK',
    });
    expect((await member.ask('remoteconfig/status', 'n1', key)).status).toBe(204);
  });

  it('boottrace: what it has read lies beside the key of the image, merged with others’', async () => {
    const trace = (runs: string) =>
      `tetherfs-trace 1\ndigest sha256:${digest}\nimage-size 1048576\nchunk-size 65536\n${runs}`;
    expect(
      (await member.ask(`boottrace/${digest}`, 'n1', key, { method: 'POST', body: trace('3 2\n0 1\n') })).status,
    ).toBe(200);
    const other = await member.nodeWithKey('n2', 'deployment.pendingprofile=demo');
    expect(
      (await member.ask(`boottrace/${digest}`, 'n2', other, { method: 'POST', body: trace('3 1\n7 1\n') })).status,
    ).toBe(200);
    const merged = readFileSync(join(member.tree, `private/os/demo/pending/rootimg-${digest}.trace`), 'utf8');
    expect(merged).toMatch(/^tetherfs-trace 1\n.*\n3 1\n/s);
    for (const [hex, body] of [
      [digest, 'no trace'],
      [digest, trace('99 1\n')],
      [digest, trace('0 1\n').replaceAll('ab', 'cd')],
      ['cd'.repeat(32), trace('0 1\n')],
    ] as const) {
      expect((await member.ask(`boottrace/${hex}`, 'n1', key, { method: 'POST', body })).status).toBeGreaterThanOrEqual(
        400,
      );
    }
    // A client that goes on sending may find the connection closed: curl reads the answer all the same.
    writeFileSync(member.path('huge'), 'x'.repeat(2_000_000));
    const headers = [
      '-H',
      'CONFLUENT_NODENAME: n1',
      '-H',
      `CONFLUENT_APIKEY: ${key}`,
      '--data-binary',
      `@${member.path('huge')}`,
    ];
    const { stdout } = await run('curl', [
      '-s',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      '--cacert',
      member.ca,
      ...headers,
      `https://127.0.0.1/confluent-api/self/boottrace/${digest}`,
    ]);
    expect(stdout).toBe('413');
  });

  it('the audit says who got what, from where', async () => {
    const entries = JSON.parse(await member.cli('audit', 'n1', '--json')) as {
      event: string;
      by: string;
      detail?: string;
    }[];
    const events = entries.map(({ event }) => event);
    for (const event of [
      'node added',
      'armed',
      'key granted',
      'key used',
      'host certificate',
      'tls certificate',
      'private file',
      'image key',
      'status',
    ]) {
      expect(events).toContain(event);
    }
    expect(entries.find(({ event }) => event === 'key used')).toMatchObject({ by: '127.0.0.1' });
    expect(JSON.stringify(entries)).not.toContain(key);
  });
});

it('ended and started again it is the same, its keys still good; it ends with status 0', async () => {
  const key = await member.nodeWithKey('r1');
  expect((await member.ask('myattribs', 'r1', key)).status).toBe(200);
  expect(await member.end()).toBe(0);
  await member.run();
  expect(member.said).not.toMatch(/made:/);
  expect((await member.ask('myattribs', 'r1', key)).status).toBe(200);
});

it('a new TLS authority is in the archive within seconds, and the old one signs until it is removed: nobody is shown what he cannot believe', async () => {
  const fingerprint = async () =>
    (
      await run('sh', [
        '-c',
        'openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint',
      ])
    ).stdout;
  const authorities = async () => {
    const all = JSON.parse(await member.cli('ca', 'show', '--json')) as { kind: string; id: string; state: string }[];
    return all.filter(({ kind }) => kind === 'tls');
  };
  const inArchive = () =>
    readFileSync(join(member.tree, 'public/site/initramfs.cpio'), 'latin1').match(/BEGIN CERTIFICATE/g)?.length;
  const before = await fingerprint();
  const old = readFileSync(member.ca, 'utf8');
  await member.cli('ca', 'rotate', 'tls');
  await waitUntil('both are in the archive', () => inArchive() === 2, { timeoutMs: 20_000 });
  expect((await authorities()).map(({ state }) => state)).toEqual(['signs', 'next']);
  expect(await fingerprint()).toBe(before);
  expect((await member.askAnybody('/confluent-api/healthz')).status).toBe(200);
  const both = await member.cli('ca', 'export', 'tls');
  expect(both.startsWith(old)).toBe(true);
  const [first] = await authorities();
  // Nodes that have reported before.
  await expect(member.cli('ca', 'rm', 'tls', first?.id ?? '')).rejects.toThrow(/have not booted since/);
  await member.cli('ca', 'rm', 'tls', first?.id ?? '', '--anyway');
  writeFileSync(member.ca, both);
  await waitUntil('it shows a new certificate', async () => (await fingerprint()) !== before, { timeoutMs: 20_000 });
  expect((await member.askAnybody('/confluent-api/healthz')).status).toBe(200);
  await waitUntil('the old one is not in the archive any more', () => inArchive() === 1, { timeoutMs: 20_000 });
  const [last] = await authorities();
  await expect(member.cli('ca', 'rm', 'tls', last?.id ?? '')).rejects.toThrow(/is the only one that signs/);
});

it('keys that lie beside a profile, by mistake, are given to nobody; nor is such a directory a profile', async () => {
  member.profile('other.private', { 'pending/rootimg.key': 'a key' });
  for (const path of ['os/other.private/pending/rootimg.key', 'os/%6fther.private/pending/rootimg.key'])
    expect((await member.askAnybody(`/confluent-public/${path}`)).status).toBe(404);
  expect(await member.cli('profile', 'list')).not.toContain('private');
});

it('a second one on the same state is refused, and changes nothing', async () => {
  const words = ['collective', 'run', '--user', memberUser, '--state', member.state, '--tree', member.tree];
  await expect(
    run(checkoutCommand, [...words, '--scratch', member.path('scratch2'), '--https-port', '4443', '--http-port', '0']),
  ).rejects.toThrow(/a member runs on .* already/);
  expect((await member.askAnybody('/confluent-api/healthz')).status).toBe(200);
});

it('a profile that comes while it runs is linked to the site archive', async () => {
  member.profile('late', { 'boot/initramfs/distribution': 'x' });
  await waitUntil('it is linked', () => existsSync(join(member.tree, 'public/os/late/boot/initramfs/site.cpio')), {
    timeoutMs: 20_000,
  });
});
