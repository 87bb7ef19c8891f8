import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CertificateAuthority, makeCertificateAuthority } from './certificates.ts';
import { Nginx } from './nginx.ts';
import { plainGet } from './plain-http.ts';
import { isRunning } from './process-tree.ts';
import { makeTempDir } from './temp-dir.ts';
import { waitUntil } from './wait-until.ts';

const directory = makeTempDir();
const publicDir = join(directory.path, 'public');
let authority: CertificateAuthority;
let nginx: Nginx;

beforeAll(async () => {
  mkdirSync(publicDir);
  writeFileSync(join(publicDir, 'file'), 'x'.repeat(100_000));
  authority = makeCertificateAuthority(join(directory.path, 'ca'));
  nginx = await Nginx.start({ address: '127.0.0.21', publicDir, certificate: authority.issue(['127.0.0.21']) });
});

afterAll(async () => {
  await nginx.close();
  directory.remove();
});

test('serves the public directory with ranges over http and https', async () => {
  const headers = { range: 'bytes=10-19' };
  expect((await plainGet(nginx.url('file'), { headers })).status).toBe(206);
  const secure = await plainGet(nginx.url('file', 'https'), { headers, ca: authority.pem });
  expect(secure.body.toString()).toBe('x'.repeat(10));
  await waitUntil('both are in the log', () => nginx.requests().length >= 2);
  expect(nginx.requests().map(({ status, range, bodyBytes }) => [status, range, bodyBytes])).toEqual([
    [206, 'bytes=10-19', 10],
    [206, 'bytes=10-19', 10],
  ]);
});

test('a certificate that is not valid yet is refused', async () => {
  const notBefore = new Date(Date.now() + 3_600_000);
  await using other = await Nginx.start({
    address: '127.0.0.22',
    publicDir,
    certificate: authority.issue(['127.0.0.22'], { notBefore }),
  });
  await expect(plainGet(other.url('file', 'https'), { ca: authority.pem })).rejects.toMatchObject({
    code: 'CERT_NOT_YET_VALID',
  });
});

test('counts the requests in flight', async () => {
  await nginx.reload({ location: 'limit_rate 1k;' });
  expect(await nginx.inFlight()).toBe(0);
  const slow = plainGet(nginx.url('file'), { timeoutMs: 60_000 }).catch(() => undefined);
  await waitUntil('the request is seen', async () => (await nginx.inFlight()) === 1);
  await nginx.kill();
  await slow;
  await nginx.restart({ location: '' });
});

test('serves with another configuration as soon as reload resolves', async () => {
  await nginx.reload({ location: 'return 503;' });
  for (let i = 0; i < 20; i++) expect((await plainGet(nginx.url('file'))).status).toBe(503);
  await nginx.reload({ location: '' });
  for (let i = 0; i < 20; i++) expect((await plainGet(nginx.url('file'))).status).toBe(200);
});

test('stopped, it accepts connections and answers nothing; continued, it answers', async () => {
  await nginx.stop();
  await expect(plainGet(nginx.url('file'), { timeoutMs: 200 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
  nginx.cont();
  expect((await plainGet(nginx.url('file'))).status).toBe(200);
});

test('killed, none of its processes is left and its port refuses', async () => {
  await nginx.reload({ workers: 3 });
  const processes = nginx.processes;
  expect(processes.length).toBeGreaterThanOrEqual(4);
  await nginx.kill();
  expect(processes.filter(isRunning)).toEqual([]);
  await expect(plainGet(nginx.url('file'))).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  await nginx.restart();
  expect((await plainGet(nginx.url('file'))).status).toBe(200);
});
