/** The heartbeat: every image that is in use is in each member's access log again and again, although nobody reads. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { digestName } from '../../src/base/digest-name.ts';
import type { OpenOptions } from '../../src/members/index.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { chunkSize, makeImage, Site, sidecarOf } from './site.ts';

const image = makeImage(4 * chunkSize);
const digest = '0123456789abcdef'.repeat(4);
const named = `os/demo/${digestName('rootimg.sfs', digest)}`;
const path = 'os/demo/rootimg.sfs';
const heartbeatMs = 100;
const temp = makeTempDir('heartbeat');
const at = (name: string) => join(temp.path, name);
let members: Nginx[];

beforeAll(async () => {
  mkdirSync(at('os/demo'), { recursive: true });
  for (const name of [path, named]) writeFileSync(at(name), image);
  writeFileSync(at(`${named}.fsverity`), 'tree');
  members = [];
  for (const host of [1, 2]) {
    members.push(await Nginx.start({ address: `127.0.47.${host}`, publicDir: temp.path }));
  }
});
afterAll(async () => {
  for (const member of members) await member.close();
  temp.remove();
});

async function open(changes: Partial<OpenOptions>): Promise<Site> {
  const urls = members.map((member) => member.url(path));
  const site = await Site.open(image, urls, { heartbeatMs, ...changes });
  const everyone = () => site.collective.status().members.every(({ state }) => state === 'up');
  await waitUntil('all are up', everyone);
  for (const member of members) member.forget();
  return site;
}

const verified = { digest, sidecar: sidecarOf(image) };

test('each member is asked for one byte, by the digest’s name, and by no other than a range request', async () => {
  await using _ = await open(verified);
  await waitUntil('three beats', () => members.every((member) => member.requests().length >= 3));
  for (const request of members.flatMap((member) => member.requests())) {
    expect(request).toMatchObject({
      path: `/confluent-public/${named}`,
      range: 'bytes=0-0',
      status: 206,
      bodyBytes: 1,
      complete: true,
    });
  }
});

test('at rest nobody is asked, and after the rest everybody is', async () => {
  await using site = await open(verified);
  site.collective.rest();
  // a beat may have been under way; its log line is written when its end is noticed
  await waitUntil('nobody is asked any more', async () =>
    (await Promise.all(members.map((member) => member.inFlight()))).every((count) => count === 0),
  );
  for (const member of members) member.forget();
  await sleep(5 * heartbeatMs);
  expect(members.flatMap((member) => member.requests())).toEqual([]);
  await site.read({ offset: 0, length: chunkSize });
  const beats = (member: Nginx) => member.requests().filter(({ range }) => range === 'bytes=0-0').length;
  await waitUntil('two beats', () => members.every((member) => beats(member) >= 2));
});

test('a file that is replaced while nobody reads is noticed', async () => {
  await using site = await open({});
  writeFileSync(at(`${path}.new`), makeImage(image.length, 'repacked'));
  renameSync(at(`${path}.new`), at(path));
  await waitUntil('both are stale', () => site.collective.status().members.every(({ state }) => state === 'stale'));
  expect(site.lines.filter((line) => /member is stale.*the file changed: ETag/.test(line))).toHaveLength(2);
});
