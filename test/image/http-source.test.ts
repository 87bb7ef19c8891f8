import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type FileUrl, parseFileUrl } from '../../src/base/file-url.ts';
import { parseDigest } from '../../src/image/digest.ts';
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
    await expect(openImage(nginx.url('rootimg.sfs', 'https'))).rejects.toMatchObject({
      code: 'IMAGE_SOURCE',
      message: expect.stringMatching(
        /is signed by .*: name that CA.* with --ca-file or --ca-dir, add it to the system's, or have/,
      ),
    });
  });

  test('that became another meanwhile is refused', async () => {
    writeFileSync(at('changing'), content.subarray(0, 5000));
    await using image = await openImage(nginx.url('changing'));
    writeFileSync(at('changing'), content.subarray(0, 6000));
    await expect(image.source.read({ offset: 0, length: 10 })).rejects.toThrow(
      /the file has 6000 bytes instead of 5000/,
    );
  });

  test('that is not there, or no server at all, is one clear error', async () => {
    await expect(openImage(nginx.url('nothing'))).rejects.toThrow(
      /^cannot get http:.*nothing: status 404: no such file there: is the path right\?$/,
    );
    await expect(openImage('http://127.0.0.71:9/x')).rejects.toThrow(
      /^cannot get http:\/\/127\.0\.0\.71:9\/x: nothing listens at 127\.0\.0\.71 port 9: does its web server run\?$/,
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
    ['ignores the range', 200, {}, noise(9000).toString('latin1'), /serves files only as a whole/],
    [
      'redirects',
      302,
      { location: '/elsewhere' },
      '',
      /give its target instead, http:\/\/127\.0\.0\.71:8072\/elsewhere$/,
    ],
    ['says nothing of the range', 206, {}, 'abc', /without a proper Content-Range/],
    ['does not know the size', 206, { 'content-range': 'bytes 0-2/*' }, 'abc', /does not say how long the file is/],
    [
      'answers another range',
      206,
      { 'content-range': 'bytes 1-3/4' },
      'abc',
      /serves bytes 1-3 instead of what was asked for/,
    ],
    ['answers more than it says', 206, { 'content-range': 'bytes 0-2/3' }, 'abcd', /more than the 3 bytes announced/],
    ['ends too soon', 206, { 'content-range': 'bytes 0-3/4' }, 'abc', /only 3 of 4 bytes/],
    [
      'encodes',
      206,
      { 'content-range': 'bytes 0-2/3', 'content-encoding': 'gzip' },
      'abc',
      /Content-Encoding gzip\): switch that off for it/,
    ],
  ])('is refused when it %s', async (_how, status, headers, body, message) => {
    const url = await answering((_request, response) => {
      response.writeHead(status, headers);
      response.end(body);
    });
    await expect(openHttpSource(url)).rejects.toThrow(message);
    await expect(openHttpSource(url)).rejects.toMatchObject({ code: 'IMAGE_SOURCE' });
  });

  test('is read whole when it gives less than was asked for, and hangs up after each answer', async () => {
    const most = 65_536;
    let answers = 0;
    const url = await answering((request, response) => {
      answers++;
      const [first = 0, last = 0] = (request.headers.range ?? '').match(/\d+/g)?.map(Number) ?? [];
      const part = content.subarray(first, Math.min(last + 1, first + most));
      response.writeHead(206, {
        'content-range': `bytes ${first}-${first + part.length - 1}/${content.length}`,
        'content-length': part.length,
        connection: 'close',
      });
      response.end(part);
    });
    await using source = await openHttpSource(url);
    expect((await collect(pieces(source))).equals(content)).toBe(true);
    expect(answers).toBeGreaterThanOrEqual(content.length / most);
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
    await expect(fetchSmallFile(url, 100_000)).rejects.toThrow(/is longer than 100000 bytes/);
  });

  test('without a sidecar but in trouble is an error, not a missing sidecar', async () => {
    const url = await answering((_request, response) => response.writeHead(503).end());
    await expect(fetchSmallFile(url, 100)).rejects.toThrow(/answers with status 503: the server has too much to do/);
  });
});

test('the CA file that is missing is named', async () => {
  await expect(openImage(nginx.url('small', 'https'), { caFile: at('no.pem') })).rejects.toThrow(/no\.pem/);
  expect(readFileSync(authority.file, 'utf8')).toContain('BEGIN CERTIFICATE');
});

test('an image is found under its digest’s name, where it has one', async () => {
  const digest = parseDigest('ab'.repeat(32));
  writeFileSync(at(`changing-${'ab'.repeat(32)}`), 'the older one');
  writeFileSync(at('changing'), 'the newest');
  const read = async (location: string) => {
    await using image = await openImage(location, {}, digest);
    return Buffer.from(await image.source.read({ offset: 0, length: image.source.size })).toString();
  };
  expect(await read(`${nginx.url('changing')}?a?b/c`)).toBe('the older one');
  expect(await read(at('changing'))).toBe('the older one');
  expect(await read(nginx.url('small'))).toBe('tiny');
  expect(await read(at('small'))).toBe('tiny');
});
