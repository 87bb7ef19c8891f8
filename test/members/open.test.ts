/** Opening: what the image is, who serves it, and what is said when nobody does. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { makeCertificateAuthority } from '../support/certificates.ts';
import { Lag } from '../support/lag.ts';
import { Nginx } from '../support/nginx.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { waitUntil } from '../support/wait-until.ts';
import { MisbehavingServer } from './misbehaving-server.ts';
import { chunkSize, makeImage, Site, sidecarOf } from './site.ts';

const image = makeImage(5 * chunkSize + 99);
const temp = makeTempDir('members-open');
afterAll(() => temp.remove());

/** Accepts connections and never says a word. */
async function blackHole(): Promise<AsyncDisposable & { url: string }> {
  const sockets = new Set<{ destroy(): void }>();
  const server: Server = createServer((socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server does not listen');
  return {
    url: `http://127.0.0.1:${address.port}/rootimg.sfs`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const refusing = 'http://127.0.0.1:1/rootimg.sfs';

describe('without a digest', () => {
  test('the majority is right, whoever comes first', async () => {
    const repacked = makeImage(image.length, 'repacked');
    await using odd = await MisbehavingServer.start(repacked);
    await using first = await MisbehavingServer.start(image);
    await using second = await MisbehavingServer.start(image);
    await using site = await Site.open(image, [odd.url, first.url, second.url]);
    expect(site.member(odd.url)).toMatchObject({ state: 'stale', errors: { identity: 1 } });
    expect(Buffer.compare(site.head, image.subarray(0, 8192))).toBe(0);
    await site.read({ offset: 0, length: image.length });
  });

  test('between two that differ, the first in the list is right', async () => {
    await using longer = await MisbehavingServer.start(makeImage(image.length + 1));
    await using first = await MisbehavingServer.start(image);
    await using site = await Site.open(image, [first.url, longer.url]);
    expect(site.member(longer.url)).toMatchObject({ state: 'stale', errors: { size: 1 } });
  });

  test('an image that differs in its last bytes alone is another image', async () => {
    const other = Buffer.from(image);
    other.writeUInt8(other.readUInt8(image.length - 1) ^ 1, image.length - 1);
    await using first = await MisbehavingServer.start(image);
    await using odd = await MisbehavingServer.start(other);
    await using site = await Site.open(image, [first.url, odd.url]);
    expect(site.member(odd.url).state).toBe('stale');
  });

  test('a member that comes later is used when it shows the same, and only then', async () => {
    await using first = await MisbehavingServer.start(image);
    await using late = await MisbehavingServer.start(makeImage(image.length, 'other'), 'unavailable');
    await using site = await Site.open(image, [late.url, first.url]);
    late.behaviour = 'good';
    await waitUntil('it is known to be another image', () => site.member(late.url).state === 'stale');
    late.image = image;
    await waitUntil('it is used', () => site.member(late.url).state === 'up');
  });

  test.each([1, 8191, 8192, 8193, 16_385])('an image of %i bytes', async (size) => {
    const small = makeImage(size);
    await using server = await MisbehavingServer.start(small);
    await using site = await Site.open(small, [server.url]);
    await site.read({ offset: 0, length: size });
    expect(Buffer.compare(site.head, small.subarray(0, 8192))).toBe(0);
  });

  test('a file of this second is used when the second is over: until then a change would not show', async () => {
    const directory = makeTempDir('members-young');
    const publicDir = join(directory.path, 'public');
    mkdirSync(join(publicDir, 'os/demo'), { recursive: true });
    const file = join(publicDir, 'os/demo/rootimg.sfs');
    const address = '127.0.0.77';
    const certificate = makeCertificateAuthority(join(directory.path, 'ca')).issue([address]);
    await using nginx = await Nginx.start({ address, publicDir, certificate });
    await waitUntil('a second has begun', () => Date.now() % 1000 < 100, { intervalMs: 5 });
    writeFileSync(file, image);
    {
      const url = nginx.url('os/demo/rootimg.sfs', 'http');
      await using site = await Site.open(image, [url]);
      writeFileSync(file, makeImage(image.length, 'repacked'));
      // it waits for somebody who serves the image, to the end
      const read = site.read({ offset: 0, length: image.length }, { blind: true });
      const ended = expect(read).rejects.toMatchObject({ name: 'FetchCancelled' });
      await waitUntil('it is stale', () => site.member(url).state === 'stale');
      expect(site.lines).toContainEqual(expect.stringContaining('the file changed'));
      await site[Symbol.asyncDispose]();
      await ended;
    }
    directory.remove();
  });
});

describe('with a digest', () => {
  const sidecar = sidecarOf(image);

  test('only who serves the right bytes is used', async () => {
    await using wrong = await MisbehavingServer.start(makeImage(image.length, 'wrong'));
    await using alsoWrong = await MisbehavingServer.start(makeImage(image.length, 'wrong'));
    await using right = await MisbehavingServer.start(image);
    await using site = await Site.open(image, [wrong.url, alsoWrong.url, right.url], { sidecar });
    await waitUntil('all are known', () => site.member(wrong.url).state === 'corrupt');
    await waitUntil('all are known', () => site.member(alsoWrong.url).state === 'corrupt');
    await site.read({ offset: 0, length: image.length });
  });

  test('the tree may come from any member; a silent, an endless and a wrong one cost a moment', async () => {
    await using silent = await blackHole();
    await using endless = await MisbehavingServer.start(image);
    endless.sidecar = Buffer.alloc(2 << 20);
    await using wrong = await MisbehavingServer.start(image);
    wrong.sidecar = Buffer.from('weed');
    await using right = await MisbehavingServer.start(image);
    const accept = (bytes: Uint8Array) => {
      if (Buffer.from(bytes).toString() !== 'tree') throw new Error('this is no tree');
      return sidecar.accept(bytes);
    };
    const urls = [silent.url, endless.url, wrong.url, right.url];
    await using site = await Site.open(image, urls, { sidecar: { ...sidecar, accept } });
    await site.read({ offset: 0, length: image.length });
  });

  test('no valid tree is an error that names every member and why', async () => {
    await using wrong = await MisbehavingServer.start(image);
    const accept = () => {
      throw new Error('this is no tree');
    };
    await expect(Site.open(image, [wrong.url], { sidecar: { ...sidecar, accept } })).rejects.toMatchObject({
      code: 'NO_VALID_TREE',
      message: expect.stringMatching(new RegExp(`${wrong.url}.*this is no tree`)),
    });
  });
});

describe('ready although a member is out', () => {
  test('that swallows everything, even as the first in the list', async () => {
    await using silent = await blackHole();
    await using server = await MisbehavingServer.start(image);
    using lag = new Lag();
    const begun = performance.now();
    await using site = await Site.open(image, [silent.url, server.url]);
    expect(performance.now() - begun - lag.longest).toBeLessThan(1_000);
    await site.read({ offset: 0, length: image.length });
  });

  test('that has no address', async () => {
    await using server = await MisbehavingServer.start(image);
    const nameless = 'http://no-such-name.invalid/rootimg.sfs';
    await using site = await Site.open(image, [nameless, server.url]);
    await site.read({ offset: 0, length: image.length });
    await waitUntil('it is known', () => site.member(nameless).errors['resolve'] !== undefined);
  });
});

describe('nobody serves', () => {
  test.each([0, 700])('after %i ms: an error that names every member and why', async (mountTimeoutMs) => {
    await using missing = await MisbehavingServer.start(image, 'not-found');
    await expect(Site.open(image, [refusing, missing.url], { mountTimeoutMs })).rejects.toMatchObject({
      code: 'NO_MEMBER',
      message: expect.stringMatching(/nothing listens at 127\.0\.0\.1 port 1: .*status 404/),
    });
  });

  test('and then somebody does', async () => {
    await using server = await MisbehavingServer.start(image, 'unavailable');
    const opening = Site.open(image, [server.url], { mountTimeoutMs: undefined });
    await waitUntil('it was asked', () => server.requests > 1);
    server.behaviour = 'good';
    await using site = await opening;
    await site.read({ offset: 0, length: image.length });
  });
});

describe('TLS', () => {
  const publicDir = temp.path;
  mkdirSync(join(publicDir, 'os/demo'), { recursive: true });
  writeFileSync(join(publicDir, 'os/demo/rootimg.sfs'), image);
  const authority = makeCertificateAuthority(join(publicDir, 'ca'));
  const address = '127.0.41.1';
  const day = 86_400_000;
  const right = authority.issue([address]);

  const open = async (certificate: typeof right, ca: string[] | undefined) => {
    await using nginx = await Nginx.start({ address, publicDir, certificate });
    await using site = await Site.open(image, [nginx.url('os/demo/rootimg.sfs', 'https')], { ca, mountTimeoutMs: 0 });
    await site.read({ offset: 0, length: image.length });
    return site.collective.status();
  };

  test('a member whose certificate our CA signed', async () => {
    const { members } = await open(right, [authority.pem]);
    expect(members.map(({ state, errors }) => [state, errors])).toEqual([['up', {}]]);
  });

  test('an unknown CA, with the way out', async () => {
    const other = makeCertificateAuthority(join(publicDir, 'other-ca'));
    await expect(open(right, [other.pem])).rejects.toThrow(/not signed by a known CA.*--ca-file/);
  });

  test('a certificate for another name', async () => {
    await expect(open(authority.issue(['other.example']), [authority.pem])).rejects.toThrow(/is for another name/);
  });

  test('a certificate of the future, with a hint at the clock', async () => {
    const notBefore = new Date(Date.now() + day);
    const future = authority.issue([address], { notBefore, notAfter: new Date(Date.now() + 2 * day) });
    await expect(open(future, [authority.pem])).rejects.toThrow(
      /not yet valid by this machine's clock.*check the clock/,
    );
  });

  test('a CA file without certificates is bad usage', async () => {
    await expect(
      open(right, ['-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n']),
    ).rejects.toMatchObject({
      code: 'USAGE',
    });
  });
});
