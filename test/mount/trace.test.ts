import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { formatTrace, parseTrace } from '../../src/image/trace.ts';
import { readTrace } from '../../src/mount/control-client.ts';
import { controlPathOf } from '../../src/mount/control-path.ts';
import { Daemon } from '../support/daemon.ts';
import { waitUntil } from '../support/wait-until.ts';
import { expectRandomReads, expectWhole, fileIn, openImage, readAt } from './reading.ts';
import { Site } from './site.ts';

const chunk = 65_536;

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 24 });
});
afterAll(() => site[Symbol.asyncDispose]());
afterEach(() => publish(undefined));

/** What the members offer beside the image; undefined: nothing. */
function publish(text: string | undefined): void {
  for (const index of site.members.keys()) {
    if (text !== undefined) writeFileSync(`${site.fileOf(index)}.trace`, text);
    else writeFileSync(`${site.fileOf(index)}.trace`, 'none');
  }
}

function traceOf(chunks: number[], digest = site.digest): string {
  return formatTrace({ digest, imageSize: site.served.length, chunkSize: chunk, chunks: Uint32Array.from(chunks) });
}

async function readChunks(daemon: Daemon, chunks: number[]): Promise<void> {
  await using file = await openImage(fileIn(daemon), true);
  for (const number of chunks) {
    const found = await readAt(file, number * chunk, 4096);
    if (!found.equals(site.served.subarray(number * chunk, number * chunk + 4096))) expect.unreachable('wrong bytes');
  }
}

async function traced(daemon: Daemon): Promise<number[]> {
  const { runs } = parseTrace(await readTrace(controlPathOf(daemon.mountpoint)));
  return runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, index) => first + index));
}

describe('recording', () => {
  it('has each chunk once, in the order of its first touch, whatever was got in advance', async () => {
    await using daemon = await site.mount();
    const order = [200, 17, 18, 19, 20, 300, 17, 5, 200];
    await readChunks(daemon, order);
    // The mount's own first read comes before.
    expect(await traced(daemon)).toEqual([0, 200, 17, 18, 19, 20, 300, 5]);
    expect((await daemon.status()).trace).toMatchObject({ recording: true, chunks: 8, replayTotal: 0 });
  });

  it('remembers what the cache had to drop', async () => {
    await using daemon = await site.mount(['--digest', site.digest, '--cache-size', '2MiB']);
    await expectWhole(fileIn(daemon), site.served);
    const before = await traced(daemon);
    expect(new Set(before).size).toBe(Math.ceil(site.served.length / chunk));
    await readChunks(daemon, [3, 100, 50]);
    expect(await traced(daemon)).toEqual(before);
  });

  it('without a digest there is none, and the error says why', async () => {
    await using daemon = await site.mount(['--allow-unverified']);
    await expect(readTrace(controlPathOf(daemon.mountpoint))).rejects.toMatchObject({ code: 'NO_TRACE' });
  });
});

describe('replay', () => {
  const boot = [310, 20, 21, 22, 150, 151, 40, 250, 90, 10];

  it('gets what the members offer, before anybody reads it', async () => {
    publish(traceOf(boot));
    await using daemon = await site.mount();
    await waitUntil('all has come', async () => {
      const { trace, cache } = await daemon.status();
      return trace.replayed === boot.length && cache.chunksInFlight === 0;
    });
    expect((await daemon.status()).trace).toMatchObject({ source: 'the members', replayTotal: boot.length });
    for (const member of site.members) await member.kill();
    await readChunks(daemon, boot);
    for (const member of site.members) await member.restart();
  });

  it('or what --trace names; --no-trace looks for none', async () => {
    publish(traceOf(boot));
    const file = site.path('boot.trace');
    writeFileSync(file, traceOf([7, 8]));
    {
      await using daemon = await site.mount(['--digest', site.digest, '--trace', file]);
      expect((await daemon.status()).trace).toMatchObject({ source: file, replayTotal: 2 });
    }
    await using daemon = await site.mount(['--digest', site.digest, '--no-trace']);
    await readChunks(daemon, [9]);
    expect((await daemon.status()).trace).not.toHaveProperty('source');
  });

  it('--trace of another image, or of none, is refused with a reason', async () => {
    const file = site.path('other.trace');
    for (const [text, why] of [
      [traceOf([1], `sha256:${'0'.repeat(64)}`), /--trace .*another image/],
      ['hello\n', /--trace .*line 1/],
    ] as const) {
      writeFileSync(file, text);
      const mountpoint = site.newMountpoint();
      await using daemon = Daemon.launch({
        urls: site.urls(),
        mountpoint,
        options: ['--digest', site.digest, '--trace', file],
      });
      expect(await daemon.ended).toBe(2);
      expect(daemon.log).toMatch(why);
    }
  });

  it('hostile ones of members change nothing', async () => {
    for (const text of [
      '',
      'x'.repeat(3 << 20),
      traceOf([1], `sha256:${'0'.repeat(64)}`),
      `${traceOf([1])}4000000 1\n`,
    ]) {
      publish(text);
      await using daemon = await site.mount();
      await expectRandomReads(fileIn(daemon), site.served, { count: 50, longest: 50_000, seed: 4 });
      expect((await daemon.status()).trace).toMatchObject({ replayTotal: 0 });
    }
  });

  it('one that names the whole image costs half the cache, and reads stay right', async () => {
    const all = Array.from({ length: Math.ceil(site.served.length / chunk) }, (_, index) => index);
    publish(traceOf(all.reverse()));
    await using daemon = await site.mount(['--digest', site.digest, '--cache-size', '8MiB']);
    await waitUntil('it rests', async () => {
      const { cache } = await daemon.status();
      return cache.chunksPrefetched >= (4 << 20) / chunk && cache.chunksInFlight === 0;
    });
    const { members } = await daemon.status();
    const fetched = members.reduce((sum, { bytes }) => sum + bytes, 0);
    // Requests under way when the window was full come on top: twelve a member, 512 KiB each, at the very most.
    expect(fetched).toBeLessThan(16 << 20);
    await expectRandomReads(fileIn(daemon), site.served, { count: 300, longest: 100_000, seed: 8, readers: 3 });
    await expectWhole(fileIn(daemon), site.served);
  });
});
