/** Rest: nothing is asked of the members and nothing is connected to them, until somebody wants something again. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { establishedTo } from './established.ts';
import { MemoryTarget } from './memory-target.ts';
import { MisbehavingServer } from './misbehaving-server.ts';
import { chunkSize, makeImage, Site, sidecarOf } from './site.ts';

const image = makeImage(40 * chunkSize);
const temp = makeTempDir('members-rest');
afterAll(() => temp.remove());
mkdirSync(join(temp.path, 'os/demo'), { recursive: true });
writeFileSync(join(temp.path, 'os/demo/rootimg.sfs'), image);
const path = 'os/demo/rootimg.sfs';

const first = { offset: 0, length: chunkSize };
const allUp = (site: Site) => () => site.collective.status().members.every(({ state }) => state === 'up');
/** A member that is out would have been probed several times by then. */
const probesWouldShowMs = 1_500;

test('closes every connection and asks nothing, also not of a member that is out; then reads again', async () => {
  await using one = await Nginx.start({ address: '127.0.44.1', publicDir: temp.path });
  await using two = await Nginx.start({ address: '127.0.44.2', publicDir: temp.path });
  await using out = await MisbehavingServer.start(image, 'unavailable');
  await using site = await Site.open(image, [one.url(path), two.url(path), out.url]);
  const nginxes = [one, two];
  const connected = () => nginxes.map(({ address }) => establishedTo(address));
  await site.readUntil('both serve', () => nginxes.every((nginx) => site.member(nginx.url(path)).bytes > 0));
  await waitUntil('the third is probed', () => out.requests > 2);
  expect(connected().every((count) => count > 0)).toBe(true);

  site.collective.rest();
  await waitUntil('all is closed', () => [...connected(), out.open].every((count) => count === 0));
  for (const nginx of nginxes) nginx.forget();
  const { requests } = out;
  await sleep(probesWouldShowMs);
  expect([...connected(), out.open]).toEqual([0, 0, 0]);
  expect(nginxes.flatMap((nginx) => nginx.requests())).toEqual([]);
  expect(out.requests).toBe(requests);
  expect(site.collective.status().members.map(({ connections }) => connections)).toEqual([0, 0, 0]);

  out.behaviour = 'good';
  await site.read({ offset: 0, length: image.length });
  await waitUntil('the third is up', allUp(site));
  expect(site.lines.filter((line) => line.startsWith('error'))).toEqual([]);
});

test.each([
  ['its ETag', false],
  ['its bytes, and the digest tells', true],
])('a member that changed meanwhile is fenced by %s', async (_, digest) => {
  await using changed = await MisbehavingServer.start(image);
  await using good = await MisbehavingServer.start(image);
  const options = digest ? { sidecar: sidecarOf(image) } : {};
  await using site = await Site.open(image, [changed.url, good.url], options);
  await waitUntil('both are up', allUp(site));
  site.collective.rest();
  changed.image = makeImage(image.length, 'other');
  if (!digest) changed.behaviour = 'changed';
  for (let chunk = 0; chunk < 20; chunk++) await site.read({ offset: chunk * chunkSize, length: chunkSize });
  await waitUntil('it is fenced', () => ['stale', 'corrupt'].includes(site.member(changed.url).state));
  await site.read({ offset: 0, length: image.length });
});

test('all members are gone when the rest ends: the read waits for the first that is back', async () => {
  await using nginx = await Nginx.start({ address: '127.0.44.3', publicDir: temp.path });
  await using site = await Site.open(image, [nginx.url(path)]);
  site.collective.rest();
  await nginx.kill();
  const read = site.read(first);
  await waitUntil('the outage is seen', () => site.collective.status().outageMs > 0);
  expect(site.collective.busy).toBe(true);
  site.collective.rest();
  await nginx.restart();
  await read;
  await waitUntil('it rests', () => establishedTo(nginx.address) === 0);
});

test('a reader who waits is served first, a prefetch is not', async () => {
  await using server = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [server.url]);
  server.behaviour = 'stall-head';
  const read = site.read(first);
  const target = new MemoryTarget({ span: { offset: chunkSize, length: chunkSize }, chunkSize });
  const prefetch = site.collective.fetch({ offset: chunkSize, length: chunkSize }, 'prefetch', target);
  site.collective.rest();
  await expect(prefetch.done).rejects.toMatchObject({ code: 'FETCH_CANCELLED' });
  expect(server.open).toBeGreaterThan(0);
  server.behaviour = 'good';
  await read;
  await waitUntil('it rests', () => server.open === 0);
});

test('many rests, each ended by a read in the midst of it, make no fault of anybody’s', async () => {
  await using server = await MisbehavingServer.start(image);
  await using site = await Site.open(image, [server.url]);
  for (let chunk = 0; chunk < 40; chunk++) {
    site.collective.rest();
    await site.read({ offset: chunk * chunkSize, length: chunkSize });
  }
  site.collective.rest();
  await waitUntil('it rests', () => server.open === 0);
  expect(site.member(server.url)).toMatchObject({ state: 'up', errors: {} });
});
