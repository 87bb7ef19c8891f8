/** A member behind the web servers that people have, as docs/collective.md sets them up. */
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemberServer } from '../support/member.ts';
import { ServerProgram, type ServerProgramOptions } from '../support/server-program.ts';

const run = promisify(execFile);
const document = readFileSync(fileURLToPath(new URL('../../docs/collective.md', import.meta.url)), 'utf8');
/** Of the document; whose the web server is, and nothing else of the member's. */
const socket = '/run/tetherfs-api/api.sock';
const proxyUser = 'games';

let member: MemberServer;
let key: string;
beforeAll(async () => {
  member = await MemberServer.start('--socket', socket, '--socket-group', proxyUser);
  member.profile('demo', { 'scripts/functions': '# functions\n' });
  // The node's key comes by the grants' own port, and is used first through a proxy.
  key = await member.nodeWithKey('n1', 'deployment.pendingprofile=demo', 'net.ipv4_address=127.0.0.77');
});
afterAll(async () => {
  await member?.[Symbol.asyncDispose]();
  rmSync('/run/tetherfs-api', { recursive: true });
});

/** The block of the document for a server, with our places. */
function documented(language: string): string {
  const block = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'ms').exec(document)?.[1] ?? '';
  return block.replaceAll('/var/lib/tetherfs', member.state).replaceAll('/var/lib/confluent', member.tree);
}

const nginx = (): Omit<ServerProgramOptions, 'ready'> => ({
  command: ['nginx', '-c', 'CONFIG', '-e', 'stderr'],
  config: (directory) => `
    daemon off; user ${proxyUser}; pid ${directory}/pid; error_log stderr; events {}
    http { access_log off; client_body_temp_path ${directory}/body; ${documented('nginx').replace('listen 443', 'listen 127.0.0.31:443')} }`,
});

const modules = ['mpm_event', 'authz_core', 'alias', 'ssl', 'socache_shmcb', 'proxy', 'proxy_http'];
const apache = (): Omit<ServerProgramOptions, 'ready'> => ({
  command: ['apache2', '-D', 'FOREGROUND', '-f', 'CONFIG'],
  config: (directory) => `
    ServerRoot ${directory}
    ServerName member
    Listen 127.0.0.31:443
    PidFile ${directory}/pid
    DefaultRuntimeDir ${directory}
    ErrorLog ${directory}/errors
    User ${proxyUser}
    Group ${proxyUser}
    ${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
    ${documented('apache')}`,
});

const curl = async (path: string, ...words: string[]) => {
  const { stdout } = await run('curl', ['-sk', '-w', '\n%{http_code}', ...words, `https://127.0.0.31${path}`]);
  const lines = stdout.split('\n');
  return { status: Number(lines.pop()), body: lines.join('\n') };
};

describe.each([
  ['nginx', nginx],
  ['Apache', apache],
])('behind %s', (_name, server) => {
  it('nodes get what they get from it directly, known by the addresses that the web server has seen, not by those that they make up', async () => {
    const ready = async () => (await curl('/confluent-api/healthz').catch(() => undefined))?.status === 200;
    await using _server = await ServerProgram.start({ ...server(), ready });
    const headers = ['-H', 'CONFLUENT_NODENAME: n1', '-H', `CONFLUENT_APIKEY: ${key}`];
    const forged = ['-H', 'X-Forwarded-For: 10.66.66.66', '-H', 'X-Forwarded-Host: 10.66.66.1'];
    const config = await curl('/confluent-api/self/deploycfg2', ...headers, ...forged);
    expect(config.status).toBe(200);
    // Of the loopback network that it has called the web server on.
    expect(config.body).toMatch(/^deploy_server: 127\.0\.0\.1$/m);
    expect(config.body).toMatch(/^ipv4_address: 127\.0\.0\.77$/m);
    const update = ['-X', 'POST', '--data-binary', 'state: booting', '--interface', '127.0.0.32'];
    expect((await curl('/confluent-api/self/updatestatus', ...headers, ...forged, ...update)).body).toBe('Accepted');
    const { attributes } = JSON.parse(await member.cli('node', 'show', 'n1', '--json'));
    expect(attributes['deployment.client_ip']).toBe('127.0.0.32');
    expect((await curl('/confluent-api/self/deploycfg2')).status).toBe(401);
    expect((await curl('/confluent-public/os/demo/scripts/functions', '-r', '2-6')).body).toBe('funct');
    for (const path of [
      '/confluent-public/../private/os',
      '/confluent-public/%2e%2e/private/os',
      '/confluent-api/../state/master.key',
    ]) {
      expect((await curl(path, '--path-as-is')).status).toBeGreaterThanOrEqual(400);
    }
  });
});

it('nobody but the web server may connect to the socket', () => {
  expect(statSync(socket).mode & 0o777).toBe(0o660);
  expect(document).toContain(`--socket ${socket} --socket-group`);
});

it('who stands between is believed on that socket alone', async () => {
  await using direct = await MemberServer.start(
    ...['--no-grants', '--no-discovery', '--http-port', '0', '--metrics', '127.0.0.1:9470'],
  );
  await direct.cli('node', 'add', 'n1');
  const forged = { 'X-Forwarded-For': '10.66.66.66', CONFLUENT_IDS: 'mac=52:54:00:00:00:01' };
  await direct.cli('node', 'set', 'n1', 'net.hwaddr=52:54:00:00:00:01');
  // From afar it would get no name.
  expect(await direct.askAnybody('/confluent-api/self/whoami', { headers: forged })).toMatchObject({
    status: 200,
    body: 'n1',
  });
  // What it counts, by the names of the document.
  const { stdout: metrics } = await run('curl', ['-s', 'http://127.0.0.1:9470/metrics']);
  for (const [, name = ''] of document.matchAll(/^\| `(tetherfs_collective_\w+)/gm))
    expect(metrics).toContain(`# TYPE ${name} `);
  expect(metrics).toMatch(
    /^tetherfs_collective_requests_total\{route="\/confluent-api\/self\/whoami",status="200"\} 1$/m,
  );
  expect(metrics).toMatch(/^tetherfs_collective_nodes 1$/m);
});
