/** Without a digest: what may vote for what the image is, and what happens when nothing may. */
import { describe, expect, test } from 'vitest';
import { waitUntil } from '../support/wait-until.ts';
import { type Behaviour, MisbehavingServer } from './misbehaving-server.ts';
import { chunkSize, makeImage, Site, sidecarOf } from './site.ts';

const image = makeImage(8 * chunkSize);
const other = makeImage(8 * chunkSize, 'other');
const half = image.subarray(0, image.length >> 1);

/** Ours is valid, half of it is cut off, and of everything else nothing is known. */
function examine(head: Uint8Array, size: number): 'valid' | 'unknown' {
  if (Buffer.compare(head, image.subarray(0, head.length)) !== 0) return 'unknown';
  if (size < image.length) throw new Error(`it has ${size} of ${image.length} bytes: it is cut off`);
  return 'valid';
}

async function open(...served: readonly (readonly [Uint8Array, Behaviour?])[]) {
  const servers = await Promise.all(served.map(([bytes, behaviour]) => MisbehavingServer.start(bytes, behaviour)));
  const close = () => Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  const urls = servers.map(({ url }) => url);
  try {
    return { site: await Site.open(image, urls, { examine, mountTimeoutMs: 20_000 }), urls, close };
  } catch (error) {
    await close();
    throw error;
  }
}

// A copy under way, as in https://github.com/rclone/rclone/issues/3490; the whole is right wherever it stands in the list.
test.each([
  ['first', [half, image]],
  ['last', [image, half]],
  ['twice', [half, half, image]],
] as const)('a half-copied image has no vote: %s', async (_, served) => {
  const { site, urls, close } = await open(...served.map((bytes) => [bytes] as const));
  await site.read({ offset: 0, length: image.length });
  for (const [index, bytes] of served.entries()) {
    expect(site.member(urls[index] ?? '')).toMatchObject(
      bytes === half ? { state: 'stale', errors: { format: 1 } } : { state: 'up' },
    );
  }
  await site[Symbol.asyncDispose]();
  await close();
});

// Of an encrypted image no header tells how long it must be. https://github.com/fangfufu/httpdirfs/issues/190: three quarters of a file, for the whole.
test('half of an image that begins as the whole does loses against that, however many have it', async () => {
  const served = [half, half, image];
  const servers = await Promise.all(served.map((bytes) => MisbehavingServer.start(bytes)));
  const urls = servers.map(({ url }) => url);
  await using site = await Site.open(image, urls, { examine: () => 'unbounded', mountTimeoutMs: 20_000 });
  expect(site.member(urls[2] ?? '').state).toBe('up');
  await site.read({ offset: 0, length: image.length });
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
});

test('bytes of no known format never outvote an image', async () => {
  const { site, urls, close } = await open([other], [other], [image]);
  expect(site.member(urls[2] ?? '').state).toBe('up');
  await site.read({ offset: 0, length: image.length });
  await site[Symbol.asyncDispose]();
  await close();
});

describe('when nobody will ever serve an image', () => {
  test('it is said at once, with the reason', async () => {
    await expect(open([half])).rejects.toMatchObject({
      code: 'IMAGE_FORMAT',
      message: expect.stringMatching(/it is cut off/),
    });
  });

  test.each<[Behaviour, RegExp]>([
    ['not-found', /status 404/],
    ['redirect', /redirects/],
    ['no-content-range', /Content-Range/],
  ])('%s is as final as with a digest', async (behaviour, why) => {
    await expect(open([image, behaviour], [image, behaviour])).rejects.toMatchObject({
      code: 'NO_MEMBER',
      message: expect.stringMatching(why),
    });
  });

  test('one that may come back is waited for', async () => {
    const [away, missing] = [
      await MisbehavingServer.start(image, 'unavailable'),
      await MisbehavingServer.start(image, 'not-found'),
    ];
    const opening = Site.open(image, [away.url, missing.url], { examine, mountTimeoutMs: 20_000 });
    await waitUntil('it was asked twice', () => away.requests >= 2, { intervalMs: 1 });
    away.behaviour = 'good';
    await using site = await opening;
    expect(site.member(away.url).state).toBe('up');
    await away[Symbol.asyncDispose]();
    await missing[Symbol.asyncDispose]();
  });
});

test('what a digest confirms is not examined', async () => {
  await using server = await MisbehavingServer.start(image);
  const never = () => {
    throw new Error('no image');
  };
  const digest = '0123456789abcdef'.repeat(4);
  await using site = await Site.open(image, [server.url], { digest, sidecar: sidecarOf(image), examine: never });
  await site.read({ offset: 0, length: image.length });
});
