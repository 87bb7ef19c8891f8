/** Any server of byte ranges is a member: real ones, as docs/members.md sets them up, and with what servers differ in. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Daemon } from '../support/daemon.ts';
import { ServerProgram, type ServerProgramOptions } from '../support/server-program.ts';
import { signedUrl } from '../support/signed-url.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { expectRandomReads, fileIn } from './reading.ts';
import { Site } from './site.ts';

const document = readFileSync(fileURLToPath(new URL('../../docs/members.md', import.meta.url)), 'utf8');
/** The configuration that the document shows for a server. */
const documented = (language: string) =>
  new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'ms').exec(document)?.[1] ?? '';

const storeScript = fileURLToPath(new URL('../support/s3-store.ts', import.meta.url));
const path = 'os/test/rootimg.sfs';
const host = '127.0.0.21';
let site: Site;
/** Where Apache, which is nobody special, can read. */
const publicDir = '/run/public';
beforeAll(async () => {
  site = await Site.make({ mebibytes: 16, members: 2 });
  mkdirSync(publicDir);
  execFileSync('mount', ['--bind', site.path('public-0'), publicDir]);
});
afterAll(async () => {
  execFileSync('umount', [publicDir]);
  await site?.[Symbol.asyncDispose]();
});

const servingHere = (text: string) => text.replaceAll('/var/lib/confluent/public', publicDir);
const url = `http://${host}/confluent-public/${path}`;

type Kind = Omit<ServerProgramOptions, 'url'>;

const nginx = (extra = ''): Kind => ({
  command: ['nginx', '-c', 'CONFIG', '-e', 'stderr'],
  config: (directory) => `
    daemon off; user root; pid ${directory}/pid; error_log stderr;
    events {}
    http {
      access_log off;
      server { listen ${host}:80; ${servingHere(documented('nginx'))} ${extra} }
    }`,
});

const modules = ['mpm_event', 'authz_core', 'alias', 'headers', 'setenvif'];
const apache = (extra = ''): Kind => ({
  command: ['apache2', '-D', 'FOREGROUND', '-f', 'CONFIG'],
  config: (directory) => `
    ServerRoot ${directory}
    ServerName ${host}
    Listen ${host}:80
    PidFile ${directory}/pid
    DefaultRuntimeDir ${directory}
    ErrorLog ${directory}/errors
    User www-data
    Group www-data
    ${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
    ${servingHere(documented('apache'))}
    ${extra}`,
});

const lighttpd: Kind = {
  command: ['lighttpd', '-D', '-f', 'CONFIG'],
  config: () => `
    server.bind = "${host}"
    server.port = 80
    server.document-root = "/nonexistent"
    ${servingHere(documented('lighttpd'))}`,
};

const haproxy = (extra = ''): Kind => ({
  command: ['haproxy', '-db', '-f', 'CONFIG'],
  config: () =>
    documented('haproxy')
      .replace('bind :80', `bind ${host}:80\n${extra}`)
      .replace('10.0.0.1', site.members[0]?.address ?? '')
      .replace('10.0.0.2', site.members[1]?.address ?? ''),
});

/** With another clock. */
const at = (time: string, kind: Kind): Kind => ({
  ...kind,
  command: [
    'env',
    ...['LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1', 'FAKETIME_DONT_FAKE_MONOTONIC=1', `FAKETIME=${time}`],
    ...kind.command,
  ],
});

let seed = 1;

describe('every byte is right, and the member stays up', () => {
  it.each<[string, () => Kind]>([
    ['nginx, as documented', () => nginx()],
    ['nginx that closes after ten requests', () => nginx('keepalive_requests 10;')],
    ['nginx that closes after each request', () => nginx('keepalive_timeout 0;')],
    ['nginx whose clock is a year ahead', () => at('+366d', nginx())],
    ['nginx whose clock is of 1970', () => at('@1970-01-02 00:00:00', nginx())],
    ['Apache, as documented', () => apache()],
    ['Apache that closes after 100 requests, as it does by default', () => apache('MaxKeepAliveRequests 100')],
    ['Apache that speaks HTTP/1.0', () => apache('SetEnvIf Request_URI . downgrade-1.0 force-response-1.0')],
    ['Apache without ETag and Last-Modified', () => apache('FileETag None\nHeader unset Last-Modified')],
    ['Apache that does not say that it takes ranges', () => apache('Header unset Accept-Ranges')],
    ['lighttpd, as documented', () => lighttpd],
    ['haproxy in front of two, as documented', () => haproxy()],
    [
      'haproxy that leaves out every header that could tell files apart',
      () =>
        haproxy(
          'http-response del-header ETag\nhttp-response del-header Last-Modified\nhttp-response del-header Accept-Ranges',
        ),
    ],
  ])('%s', async (_what, kind) => {
    await using _server = await ServerProgram.start({ ...kind(), url });
    await expectToServe([url]);
  });

  it('an object store, as documented', async () => {
    await using _store = await objectStore();
    await expectToServe([objectUrl]);
  });

  it('an object store that wants signatures, by a signed URL, beside a member that has the sidecar', async () => {
    await using _store = await objectStore();
    const [plain = ''] = site.urls();
    const [beside] = site.members;
    const signed = signedUrl(objectUrl, { accessKey: 'S3RVER', secret: 'S3RVER', seconds: 600 });
    // Once that is mounted, all that is read comes from the store.
    await expectToServe([signed, plain], () => beside?.kill());
    await beside?.restart();
  });
});

/** Reads by the first of `urls`; it has all bytes right, and nothing to be blamed for. @param onMounted makes it the only one. */
async function expectToServe(urls: string[], onMounted?: () => unknown): Promise<void> {
  const options = ['--digest', site.digest, '--cache-size', '2MiB', '--no-trace'];
  await using daemon = await Daemon.start({ urls, mountpoint: site.newMountpoint(), options });
  await onMounted?.();
  await expectRandomReads(fileIn(daemon), site.served, { count: 250, longest: 200_000, seed: seed++, readers: 2 });
  const member = await waitUntil('it is up', async () => {
    const [found] = (await daemon.status()).members;
    return found?.state === 'up' && found;
  });
  expect(member.requests).toBeGreaterThan(200);
  // This machine may be busy; nothing that the server said was wrong.
  expect(Object.keys(member.errors).filter((kind) => kind !== 'timeout')).toEqual([]);
  expect(daemon.log).not.toMatch(new RegExp(`member is (down|corrupt|stale).*${new URL(urls[0] ?? '').host}`));
}

const storePort = 4568;
const objectUrl = `http://${host}:${storePort}/images/os/demo/rootimg.sfs`;

/** With the image and its sidecar, put there by what the document says. */
async function objectStore(): Promise<ServerProgram> {
  const store = await ServerProgram.start({
    command: [process.execPath, storeScript, 'CONFIG'],
    config: (directory) => JSON.stringify({ address: host, port: storePort, directory, bucket: 'images' }),
    url: `http://${host}:${storePort}/`,
  });
  const directory = makeTempDir('upload');
  const key = join(directory.path, 'key');
  writeFileSync(key, 'user = "S3RVER:S3RVER"\n', { mode: 0o600 });
  const commands = servingHere(documented('bash'))
    .replaceAll(`${publicDir}/os/demo`, `${publicDir}/os/test`)
    .replaceAll('https://store.example/images/os/demo', `http://${host}:${storePort}/images/os/demo`)
    .replaceAll('--config key', `--config ${key}`);
  try {
    execFileSync('sh', ['-ec', commands], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  } finally {
    directory.remove();
  }
  return store;
}

describe('TLS', () => {
  it.each(['TLSv1.2', 'TLSv1.3'])('%s: a session is taken up again', async (version) => {
    const [member] = site.members;
    await member?.restart({
      server: `ssl_protocols ${version}; ssl_session_cache shared:all:1m; keepalive_requests 10;`,
    });
    member?.forget();
    const options = ['--digest', site.digest, '--ca-file', site.authority.file, '--cache-size', '2MiB', '--no-trace'];
    await using daemon = await Daemon.start({
      urls: site.urls('https').slice(0, 1),
      mountpoint: site.newMountpoint(),
      options,
    });
    await expectRandomReads(fileIn(daemon), site.served, { count: 60, longest: 200_000, seed: seed++, readers: 4 });
    const requests = member?.requests() ?? [];
    expect(new Set(requests.map(({ tls }) => tls))).toEqual(new Set([version]));
    expect(requests.filter(({ resumed }) => resumed).length).toBeGreaterThan(requests.length / 2);
    expect((await daemon.status()).members[0]).toMatchObject({ state: 'up', reason: '' });
  });
});
