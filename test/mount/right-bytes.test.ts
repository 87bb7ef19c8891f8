import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitUntil } from '../support/wait-until.ts';
import { expectNoSlotLost, expectRandomReads, expectWhole, fileIn } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
beforeAll(async () => {
  site = await Site.make();
});
afterAll(() => site[Symbol.asyncDispose]());

describe('a mount shows exactly the image', () => {
  it('over HTTP, verified', async () => {
    await using daemon = await site.mount();
    await expectWhole(fileIn(daemon), site.served);
    const { cache, reads } = await daemon.status();
    expect(cache.chunksRejected).toBe(0);
    expect(reads.failed).toBe(0);
  });

  it('over HTTPS, with an authority of our own, without a digest', async () => {
    await using daemon = await site.mount(['--ca-file', site.authority.file], site.urls('https'));
    await expectWhole(fileIn(daemon), site.served);
  });

  it('decrypted, when given the key: the squashfs can be mounted', async () => {
    await using daemon = await site.mount(['--digest', site.digest, '--key-file', site.keyFile]);
    await expectWhole(fileIn(daemon), site.plain);
    const root = site.path('root');
    mkdirSync(root);
    execFileSync('mount', ['-o', 'loop,ro', fileIn(daemon), root]);
    try {
      expect(readFileSync(join(root, 'hello'), 'utf8')).toBe('hello\n');
    } finally {
      execFileSync('umount', [root]);
    }
  });

  it('from all members: each delivers a part', async () => {
    await using daemon = await site.mount(['--digest', site.digest, '--cache-size', '4MiB']);
    let seed = 60;
    const eachHasDelivered = async () => {
      await expectRandomReads(fileIn(daemon), site.served, {
        count: 100,
        longest: 1_000_000,
        seed: seed++,
        readers: 8,
      });
      const { members } = await daemon.status();
      const part = site.served.length / 20;
      if (!members.every(({ bytes }) => bytes > part)) throw new Error(`of ${part} bytes: ${JSON.stringify(members)}`);
      return true;
    };
    // One that was slow to answer at first is asked again after half a minute at the latest.
    await waitUntil('each has delivered a part', eachHasDelivered, { timeoutMs: 60_000 });
  });
});

describe('random ranges', () => {
  it.each([
    { name: 'with a cache that holds all', cacheSize: '64MiB', readers: 4 },
    { name: 'with the smallest cache and 64 readers', cacheSize: '1088KiB', readers: 64 },
  ])('are right $name', async ({ cacheSize, readers }) => {
    await using daemon = await site.mount(['--digest', site.digest, '--cache-size', cacheSize]);
    await expectRandomReads(fileIn(daemon), site.served, { count: 3000, longest: 200_000, seed: 7, readers });
    await expectRandomReads(fileIn(daemon), site.served, { count: 300, longest: 3_000_000, seed: 8, readers });
    await expectNoSlotLost(daemon);
  });

  it('are right decrypted, where the file shown is 4096 bytes off the image', async () => {
    await using daemon = await site.mount([
      '--digest',
      site.digest,
      '--key-file',
      site.keyFile,
      '--cache-size',
      '4MiB',
    ]);
    await expectRandomReads(fileIn(daemon), site.plain, { count: 2000, longest: 150_000, seed: 9, readers: 8 });
  });

  it('are right through the page cache', async () => {
    await using daemon = await site.mount();
    await expectRandomReads(fileIn(daemon), site.served, { count: 2000, longest: 150_000, seed: 10, direct: false });
  });
});

it.each([4096, 131_072])('verity blocks of %i bytes are verified too', async (blockSize) => {
  await using other = await Site.make({ members: 1, mebibytes: 3, blockSize, firstHost: 31 });
  await using daemon = await other.mount();
  await expectWhole(fileIn(daemon), other.served);
  expect((await daemon.status()).image.blockSize).toBe(blockSize);
});
