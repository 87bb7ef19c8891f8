/** One small file from one URL, from a real web server or one that lies. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { parseFileUrl } from '../../src/base/file-url.ts';
import { systemTime } from '../../src/base/time-source.ts';
import { fetchSmallFile } from '../../src/members/index.ts';
import { makeCertificateAuthority } from '../support/certificates.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { establishedTo } from './established.ts';
import { MisbehavingServer } from './misbehaving-server.ts';

const profile = 'label: demo\nkernelargs: quiet\n';
const temp = makeTempDir('small-file');
afterAll(() => temp.remove());
afterEach(() => vi.unstubAllEnvs());
mkdirSync(join(temp.path, 'os/demo'), { recursive: true });
writeFileSync(join(temp.path, 'os/demo/profile.yaml'), profile);
const address = '127.0.45.1';
const authority = makeCertificateAuthority(join(temp.path, 'ca'));
const certificate = authority.issue([address]);
const path = 'os/demo/profile.yaml';

async function fetched(url: string, ca?: string[], maxBytes = 65_536): Promise<string> {
  const bytes = await fetchSmallFile(parseFileUrl(url), { ca, maxBytes, time: systemTime });
  return Buffer.from(bytes).toString();
}

describe('from a real server', () => {
  test.each(['http', 'https'] as const)('over %s, and the connection is closed', async (scheme) => {
    await using nginx = await Nginx.start({ address, publicDir: temp.path, certificate });
    expect(await fetched(nginx.url(path, scheme), [authority.pem])).toBe(profile);
    await waitUntil('it is closed', () => establishedTo(address) === 0);
  });

  test('that another CA signed for, with the way out, whatever Node is told to let pass', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    await using nginx = await Nginx.start({ address, publicDir: temp.path, certificate });
    const other = makeCertificateAuthority(join(temp.path, 'other-ca'));
    await expect(fetched(nginx.url(path, 'https'), [other.pem])).rejects.toMatchObject({
      code: 'FETCH_FAILED',
      message: expect.stringMatching(/^cannot get https:.*profile\.yaml: its certificate is not signed by a known CA/),
    });
  });

  test('that has it not, or too much of it', async () => {
    await using nginx = await Nginx.start({ address, publicDir: temp.path });
    const missing = nginx.url('os/demo/nothing.yaml');
    await expect(fetched(missing)).rejects.toThrow(`cannot get ${missing}: nothing.yaml answers with status 404`);
    await expect(fetched(nginx.url(path), undefined, 10)).rejects.toThrow(
      /profile\.yaml has 30 bytes, more than the 10 it may have$/,
    );
  });
});

test('nobody is there', async () => {
  await expect(fetched('http://127.0.0.1:1/profile.yaml')).rejects.toMatchObject({
    code: 'FETCH_FAILED',
    message: expect.stringMatching(
      /^cannot get http:\/\/127\.0\.0\.1:1\/profile\.yaml: nothing listens at 127\.0\.0\.1 port 1: does its web server run\?$/,
    ),
  });
  await expect(fetched('http://no-such-name.invalid/profile.yaml')).rejects.toThrow(
    /the name no-such-name\.invalid (has no address|cannot be looked up: no DNS server answers)$/,
  );
});

test('an endless file ends at its limit', async () => {
  await using server = await MisbehavingServer.start(new Uint8Array(1));
  server.sidecar = Buffer.alloc(8 << 20);
  await expect(fetched(server.url)).rejects.toThrow(/has 8388608 bytes, more than the 65536 it may have/);
  await waitUntil('it is closed', () => server.open === 0);
});

test.each(['profile.yaml', 'ftp://127.0.0.1/profile.yaml', 'http://127.0.0.1/'])('%s is bad usage', async (url) => {
  await expect(fetched(url)).rejects.toMatchObject({ code: 'USAGE' });
});
