import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type FileUrl, parseFileUrl } from '../../src/base/file-url.ts';
import { pieces } from '../../src/image/image-source.ts';
import { fetchSmallFile, openHttpSource } from '../../src/imgutil/http-source.ts';
import { openImage } from '../../src/imgutil/image-location.ts';
import { makeCertificateAuthority } from '../support/certificates.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { collect, noise } from './memory-image.ts';

const directory = makeTempDir('http');
const at = (name: string) => join(directory.path, name);
const content = noise(3_000_001);
let nginx: Nginx;
const authority = makeCertificateAuthority(at('ca'));

beforeAll(async () => {
  writeFileSync(at('rootimg.sfs'), content);
  writeFileSync(at('small'), 'tiny');
  nginx = await Nginx.start({
    address: '127.0.0.71',
    httpPort: 8071,
    httpsPort: 8471,
    publicDir: directory.path,
    certificate: authority.issue(['127.0.0.71']),
  });
});
afterAll(async () => {
  await nginx.close();
  directory.remove();
});

afterEach(() => vi.unstubAllEnvs());

describe('an image on a web server', () => {
  test.each(['http', 'https'] as const)('is read whole over %s', async (scheme) => {
    await using image = await openImage(nginx.url('rootimg.sfs', scheme), { caFile: authority.file });
    expect(image.source.size).toBe(content.length);
    expect((await collect(pieces(image.source))).equals(content)).toBe(true);
  });

  test('smaller than a header is read too', async () => {
    await using image = await openImage(nginx.url('small'));
    expect(Buffer.from(await image.source.read({ offset: 1, length: 3 })).toString()).toBe('iny');
  });

  test('has a sidecar beside it, or none', async () => {
    await using image = await openImage(`${nginx.url('rootimg.sfs')}?version=1`);
    expect(await image.sidecar()).toBeUndefined();
    writeFileSync(at('rootimg.sfs.fsverity'), 'sidecar');
    expect(Buffer.from((await image.sidecar()) ?? []).toString()).toBe('sidecar');
  });

  test('is not read when the server’s certificate is of nobody we trust, whatever Node is told to let pass', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    await expect(openImage(nginx.url('rootimg.sfs', 'https'))).rejects.toMatchObject({ code: 'IMAGE_SOURCE' });
  });

  test('that became another meanwhile is refused', async () => {
    writeFileSync(at('changing'), content.subarray(0, 5000));
    await using image = await openImage(nginx.url('changing'));
    writeFileSync(at('changing'), content.subarray(0, 6000));
    await expect(image.source.read({ offset: 0, length: 10 })).rejects.toThrow(/changed from 5000 to 6000/);
  });

  test('that is not there, or no server at all, is one clear error', async () => {
    await expect(openImage(nginx.url('nothing'))).rejects.toThrow(/nothing answered 404 to a range request/);
    await expect(openImage('http://127.0.0.71:9/x')).rejects.toThrow(
      /cannot read http:\/\/127\.0\.0\.71:9\/x: .*ECONNREFUSED/,
    );
    await expect(openImage('http://[broken/')).rejects.toMatchObject({ code: 'USAGE' });
  });
});

describe('a server that does not do what it was asked', () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  async function answering(listener: RequestListener): Promise<FileUrl> {
    server = createServer(listener);
    await new Promise<void>((ready) => server?.listen(8072, '127.0.0.71', ready));
    return parseFileUrl('http://127.0.0.71:8072/rootimg.sfs');
  }

  test.each<[string, number, Record<string, string>, string, RegExp]>([
    ['ignores the range', 200, {}, 'all of it', /answered 200 to a range request/],
    ['redirects', 302, { location: '/elsewhere' }, '', /answered 302/],
    ['says nothing of the range', 206, {}, 'abc', /without a usable Content-Range/],
    ['does not know the size', 206, { 'content-range': 'bytes 0-2/*' }, 'abc', /without a usable Content-Range/],
    ['answers another range', 206, { 'content-range': 'bytes 1-3/4' }, 'abc', /asked for was 0\+4096/],
    ['answers less than there is', 206, { 'content-range': 'bytes 0-2/9' }, 'abc', /asked for was 0\+4096/],
    ['answers more than it says', 206, { 'content-range': 'bytes 0-2/3' }, 'abcd', /more than the 3 bytes/],
    ['ends too soon', 206, { 'content-range': 'bytes 0-3/4' }, 'abc', /sent 3 bytes of 0\+4096/],
    ['encodes', 206, { 'content-range': 'bytes 0-2/3', 'content-encoding': 'gzip' }, 'abc', /Content-Encoding gzip/],
  ])('is refused when it %s', async (_how, status, headers, body, message) => {
    const url = await answering((_request, response) => {
      response.writeHead(status, headers);
      response.end(body);
    });
    await expect(openHttpSource(url)).rejects.toThrow(message);
    await expect(openHttpSource(url)).rejects.toMatchObject({ code: 'IMAGE_SOURCE' });
  });

  test('cannot make us hold more of a small file than its cap', async () => {
    const url = await answering((_request, response) => {
      response.on('error', () => {});
      const more = () => {
        while (response.write(content.subarray(0, 65536)));
      };
      response.on('drain', more);
      more();
    });
    await expect(fetchSmallFile(url, 100_000)).rejects.toThrow(/more than the 100000 bytes/);
  });

  test('without a sidecar but in trouble is an error, not a missing sidecar', async () => {
    const url = await answering((_request, response) => response.writeHead(503).end());
    await expect(fetchSmallFile(url, 100)).rejects.toThrow(/answered 503, not 200/);
  });
});

test('the CA file that is missing is named', async () => {
  await expect(openImage(nginx.url('small', 'https'), { caFile: at('no.pem') })).rejects.toThrow(/no\.pem/);
  expect(readFileSync(authority.file, 'utf8')).toContain('BEGIN CERTIFICATE');
});
