/**
 * Whom a member's certificate is believed from: what `--ca-file` names, be it a root, an intermediate authority or the server's own certificate
 * (as curl has it: https://github.com/curl/curl/issues/9191, https://github.com/benoitc/hackney/issues/196).
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { chunkSize, makeImage, Site } from './site.ts';

const image = makeImage(2 * chunkSize);
const temp = makeTempDir('members-trust');
const at = (name: string) => join(temp.path, name);
const address = '127.0.46.1';
const path = 'rootimg.sfs';

/** Signed by `by`; by itself without. */
function certificate(name: string, extensions: readonly string[], by?: string, days = '2'): void {
  writeFileSync(at(`${name}.ext`), extensions.join('\n'));
  const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: 'pipe' });
  openssl(
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    at(`${name}.key`),
    '-subj',
    `/CN=${name}`,
    '-out',
    at(`${name}.csr`),
  );
  const signer =
    by === undefined
      ? ['-signkey', at(`${name}.key`)]
      : ['-CA', at(`${by}.pem`), '-CAkey', at(`${by}.key`), '-CAcreateserial'];
  openssl(
    'x509',
    '-req',
    '-in',
    at(`${name}.csr`),
    ...signer,
    '-days',
    days,
    '-extfile',
    at(`${name}.ext`),
    '-out',
    at(`${name}.pem`),
  );
}

const pem = (...names: string[]) => names.map((name) => readFileSync(at(`${name}.pem`), 'utf8')).join('');

beforeAll(() => {
  mkdirSync(at('public'));
  writeFileSync(at(`public/${path}`), image);
  certificate('root', ['basicConstraints=critical,CA:TRUE']);
  certificate('between', ['basicConstraints=critical,CA:TRUE'], 'root');
  certificate('leaf', [`subjectAltName=IP:${address}`], 'between');
  certificate('own', [`subjectAltName=IP:${address}`]);
  writeFileSync(at('chain.pem'), pem('leaf', 'between'));
});
afterAll(() => temp.remove());

/** What a server with that certificate file is for who believes those. */
async function read(shown: string, key: string, ...believed: string[]): Promise<void> {
  const server = { certificateFile: at(`${shown}.pem`), keyFile: at(`${key}.key`) };
  await using nginx = await Nginx.start({ address, publicDir: at('public'), certificate: server });
  await using site = await Site.open(image, [nginx.url(path, 'https')], { ca: [pem(...believed)], mountTimeoutMs: 0 });
  await site.read({ offset: 0, length: image.length });
}

describe('believed', () => {
  test.each<[string, string, string, string[]]>([
    ['the root, of a server that shows its whole chain', 'chain', 'leaf', ['root']],
    ['the intermediate authority, of one that shows its certificate alone', 'leaf', 'leaf', ['between']],
    ['the intermediate authority, of one that shows its whole chain', 'chain', 'leaf', ['between']],
    ['the server\u2019s own certificate', 'leaf', 'leaf', ['leaf']],
    ['a certificate that signed itself', 'own', 'own', ['own']],
    ['one among several', 'leaf', 'leaf', ['own', 'between']],
  ])('%s', async (_, shown, key, believed) => {
    await read(shown, key, ...believed);
  });
});

describe('not believed, and the line says which certificate, by whom it is signed, and what can be done', () => {
  // https://github.com/curl/curl/issues/2197
  test('the root, of a server that does not show what lies between', async () => {
    await expect(read('leaf', 'leaf', 'root')).rejects.toThrow(
      /CN=leaf is signed by CN=between\): name that CA.* with --ca-file or --ca-dir, add it to the system's, or have the server send its whole chain/,
    );
  });

  test('another\u2019s', async () => {
    await expect(read('own', 'own', 'root')).rejects.toThrow(/CN=own is signed by CN=own/);
  });

  test('an intermediate authority\u2019s that has expired', async () => {
    certificate('old', ['basicConstraints=critical,CA:TRUE'], 'root', '-1');
    certificate('young', [`subjectAltName=IP:${address}`], 'old');
    writeFileSync(at('expired.pem'), pem('young', 'old'));
    await expect(read('expired', 'young', 'root')).rejects.toThrow(
      /the certificate of a CA that signed its own \(CN=old\) has expired by this machine's clock/,
    );
  });

  test('OpenSSL\u2019s own form of a certificate, which is read as none', async () => {
    const words = ['x509', '-in', at('own.pem'), '-trustout', '-out', at('trusted.pem')];
    execFileSync('openssl', words, { stdio: 'pipe' });
    await expect(read('own', 'own', 'trusted')).rejects.toThrow(
      /^--ca-file: it holds a certificate in OpenSSL's own form.* openssl x509 -in FILE makes the usual one/,
    );
  });

  test('one that may not be a server\u2019s', async () => {
    certificate('client', [`subjectAltName=IP:${address}`, 'extendedKeyUsage=clientAuth'], 'root');
    await expect(read('client', 'client', 'root')).rejects.toThrow(
      /its certificate \(CN=client\) is refused: unsuitable certificate purpose/,
    );
  });
});
