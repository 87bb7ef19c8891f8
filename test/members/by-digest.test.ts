/** The image under the name of its digest, and under the name in the URL: whichever proves right, decided anew at each probe. */
import { linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { digestName } from '../../src/base/digest-name.ts';
import { parseFileUrl } from '../../src/base/file-url.ts';
import { memberUrl, urlByDigest } from '../../src/members/member-url.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { chunkSize, makeImage, Site, sidecarOf } from './site.ts';

const digest = '0123456789abcdef'.repeat(4);
const image = makeImage(12 * chunkSize);
const other = makeImage(12 * chunkSize, 'repacked');
const plainName = 'rootimg.sfs';
const named = digestName(plainName, digest);
const whole = { offset: 0, length: image.length };

let temp: TempDir;
let nginx: Nginx;
beforeEach(async () => {
  temp = makeTempDir('by-digest');
  mkdirSync(join(temp.path, 'os/demo'), { recursive: true });
  nginx = await Nginx.start({ address: '127.0.46.1', publicDir: temp.path });
});
afterEach(async () => {
  await nginx.close();
  temp.remove();
});

const at = (name: string) => join(temp.path, 'os/demo', name);
const url = () => nginx.url(`os/demo/${plainName}`);

function lay(name: string, bytes: Uint8Array): void {
  writeFileSync(`${at(name)}.new`, bytes);
  renameSync(`${at(name)}.new`, at(name));
  writeFileSync(at(`${name}.fsverity`), 'tree');
}

/** A verified collective of this one member. */
const open = () => Site.open(image, [url()], { digest, sidecar: sidecarOf(image) });

/** The names that were asked for, each once, with the status of the answer. */
const asked = () => new Set(nginx.requests().map(({ path, status }) => `${path.split('/').at(-1)} ${status}`));

test('a member that has the digest’s name is asked for nothing else', async () => {
  lay(named, image);
  lay(plainName, other);
  await using site = await open();
  await site.read(whole);
  expect(site.member(url())).toMatchObject({ state: 'up', file: named, errors: {} });
  expect(asked()).toEqual(new Set([`${named}.fsverity 200`, `${named} 206`]));
});

test('a member that has it not is asked by the URL’s name: one request more for the tree, and one a probe', async () => {
  lay(plainName, image);
  await using site = await open();
  for (let count = 0; count < 5; count++) await site.read(whole);
  expect(site.member(url())).toMatchObject({ state: 'up', file: plainName, errors: {} });
  const missing = nginx.requests().filter(({ status }) => status === 404);
  expect(missing.map(({ path }) => path.split('/').at(-1))).toEqual([`${named}.fsverity`, named]);
});

test('a repack under reads: the URL’s name shows another image, and the member goes on with ours by digest', async () => {
  lay(plainName, image);
  await using site = await open();
  await site.read(whole);
  linkSync(at(plainName), at(named));
  lay(plainName, other);
  await site.read(whole);
  await waitUntil('it is up by digest', () => site.member(url()).state === 'up' && site.member(url()).file === named);
  expect(site.member(url()).errors['corrupt']).toBeGreaterThan(0);
});

test('the digest’s name goes away, or holds other bytes: the URL’s name serves as well', async () => {
  lay(named, image);
  lay(plainName, image);
  await using site = await open();
  await site.read(whole);
  rmSync(at(named));
  await site.read(whole);
  await waitUntil('it is up by name', () => site.member(url()).state === 'up' && site.member(url()).file === plainName);

  lay(named, other);
  await nginx.kill();
  await waitUntil('it is out', async () => {
    await Promise.race([site.read(whole).catch(() => {}), new Promise((done) => setTimeout(done, 50))]);
    return site.member(url()).state !== 'up';
  });
  await nginx.restart();
  await waitUntil('it is up', () => site.member(url()).state === 'up');
  expect(site.member(url()).file).toBe(plainName);
});

test('neither is right: the reason is that of the file with the digest’s name, if there is one', async () => {
  lay(plainName, makeImage(1000));
  const opening = (timeout: number) =>
    Site.open(image, [url()], { digest, sidecar: sidecarOf(image), mountTimeoutMs: timeout });
  await expect(opening(0)).rejects.toThrow(/the file has 1000 bytes instead of/);
  lay(named, other);
  await expect(opening(0)).rejects.toThrow(/do not match the digest/);
  rmSync(at(named));
  rmSync(at(plainName));
  await expect(opening(0)).rejects.toThrow(/status 404/);
});

test.each([
  ['http://a/os/rootimg.sfs', `http://a/os/rootimg-${digest}.sfs`, `/os/rootimg-${digest}.sfs`],
  ['http://a:81/my%20image?x=/y.z', `http://a:81/my%20image-${digest}`, `/my%20image-${digest}`],
  ['http://[fe80::1%25eth0]/a.b/c.d.e', `http://[fe80::1%25eth0]/a.b/c.d-${digest}.e`, `/a.b/c.d-${digest}.e`],
])('%s by digest', (text, expected, path) => {
  const given = memberUrl(parseFileUrl(text));
  expect(urlByDigest(given, digest)).toEqual({
    ...given,
    given: expected + given.query,
    text: expected,
    path,
    fileName: digestName(given.fileName, digest),
  });
});

test('a URL that names a digest stays as it is', () => {
  expect(urlByDigest(memberUrl(parseFileUrl(`http://a/rootimg-${'f'.repeat(64)}.sfs`)), digest)).toBeUndefined();
});
