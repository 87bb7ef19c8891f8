/** `tetherfs members`, `--members-from`: the members of a mount change under its readers. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { changeMembers } from '../../src/mount/control-client.ts';
import { signal } from '../support/process-tree.ts';
import { waitUntil } from '../support/wait-until.ts';
import { HeldMount } from './held-mount.ts';
import { expectRandomReads } from './reading.ts';
import { Site } from './site.ts';

let site: Site;
beforeAll(async () => {
  site = await Site.make({ mebibytes: 24 });
});
afterAll(() => site?.[Symbol.asyncDispose]());

const url = (member: number, scheme: 'http' | 'https' = 'http') => site.urls(scheme)[member] ?? '';
const mount = (urls: readonly string[], ...options: string[]) =>
  HeldMount.make({
    urls,
    mountpoint: site.newMountpoint(),
    options: ['--digest', site.digest, '--cache-size', '4MiB', ...options],
  });
const members = (verb: string, held: HeldMount, ...words: string[]) =>
  held.run('members', verb, held.mountpoint, ...words);
/** @returns what it said of why not, and its exit status. */
const refusal = (verb: string, held: HeldMount, ...words: string[]) =>
  members(verb, held, ...words).then(
    () => ({ stderr: 'it was not refused', code: 0 }),
    ({ stderr, code }: { stderr: string; code: number }) => ({ stderr, code }),
  );
const urlsOf = async (held: HeldMount) => (await held.status()).members.map((member) => member.url);
let seed = 1;
const read = (held: HeldMount, count = 40) =>
  expectRandomReads(held.file, site.served, { count, longest: 200_000, seed: seed++, readers: 4 });

it('come and go under readers, and no byte is wrong', async () => {
  await using held = await mount([url(0)]);
  let over = false;
  const reading = (async () => {
    while (!over) await read(held);
  })();
  try {
    const { stdout } = await members('add', held, url(1), url(2));
    expect(stdout).toMatch(/127\.0\.0\.12.* up\s.*127\.0\.0\.13.* up/s);
    await waitUntil('all serve', async () => (await held.status()).members.every(({ bytes }) => bytes > 0));
    await members('remove', held, url(0));
    expect(await urlsOf(held)).toEqual([url(1), url(2)]);
    site.members[0]?.forget();
    await members('remove', held, url(1));
    await read(held);
  } finally {
    over = true;
    await reading;
  }
  expect(site.members[0]?.requests()).toEqual([]);
  const { reads, collective, members: left } = await held.status();
  expect(left).toHaveLength(1);
  expect(reads.failed).toBe(0);
  expect(collective.outageMs).toBe(0);
});

it('who is removed while he hangs is asked no more, not even for what was under way', async () => {
  await using held = await mount([url(0), url(1)]);
  await read(held);
  await site.members[0]?.stop();
  let seen = false;
  const reading = (async () => {
    while (!seen) await read(held);
  })();
  await waitUntil('it is asked in vain', async () => (await held.status()).members[0]?.state !== 'up');
  seen = true;
  await members('remove', held, url(0));
  site.members[0]?.cont();
  await waitUntil('it has answered what it was asked before', async () => (await site.members[0]?.inFlight()) === 0);
  site.members[0]?.forget();
  await reading;
  await read(held);
  expect(site.members[0]?.requests()).toEqual([]);
});

it('a removed member ends no outage of those that are left', async () => {
  await using held = await mount([url(0)]);
  await members('add', held, 'http://127.0.0.14/nobody.sfs');
  let over = false;
  const reading = (async () => {
    while (!over) await read(held, 10);
  })();
  await members('remove', held, url(0));
  await waitUntil('there is an outage', async () => (await held.status()).collective.outageMs > 1_000);
  await members('add', held, url(0));
  await waitUntil('it is over', async () => (await held.status()).collective.outageMs === 0);
  over = true;
  await reading;
});

it('while it is taken over: what was acknowledged stays', async () => {
  await using held = await mount([url(0)]);
  let over = false;
  const acknowledged: string[] = [];
  const adding = (async () => {
    for (let number = 0; !over; number++) {
      const one = `http://127.0.0.1:9/${number}.sfs`;
      await changeMembers(held.control, { add: [one], remove: [] }).then(
        () => acknowledged.push(one),
        () => {},
      );
    }
  })();
  await held.takeOver().catch(() => {});
  over = true;
  await adding;
  expect(await urlsOf(held)).toEqual([url(0), ...acknowledged]);
  await held.takeOver();
  expect(await urlsOf(held)).toEqual([url(0), ...acknowledged]);
});

it('the last cannot be removed, nor who is none; nobody comes that could be believed less', async () => {
  await using held = await mount([url(0)]);
  expect(await refusal('remove', held, url(0))).toEqual({
    code: 1,
    stderr: expect.stringMatching(/a mount needs a member/),
  });
  expect(await refusal('remove', held, url(1))).toEqual({
    code: 1,
    stderr: `tetherfs: ${url(1)} is no member of this mount; they are ${url(0)}\n`,
  });
  expect(await refusal('add', held, 'ftp://127.0.0.1/i')).toMatchObject({ code: 2 });
  expect(await refusal('reload', held)).toEqual({ code: 1, stderr: expect.stringMatching(/without --members-from/) });
  await using trusting = await HeldMount.make({
    urls: [url(0, 'https')],
    mountpoint: site.newMountpoint(),
    options: ['--ca-file', site.authority.file],
  });
  expect(await refusal('add', trusting, url(1))).toEqual({
    code: 1,
    stderr: expect.stringMatching(/a mount without a digest trusts https:\/\/ alone/),
  });
  await members('add', trusting, url(1, 'https'));
  await waitUntil('it is used', async () => (await trusting.status()).members[1]?.state === 'up');
});

it('a member over https in a mount that had none brings the authorities along, also for a successor', async () => {
  await using held = await mount([url(0)]);
  const { stdout } = await members('add', held, url(1, 'https'));
  // Not the system's, so it is not believed; that somebody looked is what counts.
  expect(stdout).toMatch(/127\.0\.0\.12.*certificate/s);
  await held.takeOver();
  await waitUntil('the successor says the same', async () =>
    /certificate/.test((await held.status()).members[1]?.reason ?? ''),
  );
  await read(held);
});

it('who came and who went stays so through a crash and a takeover', async () => {
  await using held = await mount([url(0), url(1)]);
  await members('add', held, url(2));
  await members('remove', held, url(0));
  signal(held.daemon, 'SIGKILL');
  const { pid } = await held.successorOf(held.daemon);
  expect(await urlsOf(held)).toEqual([url(1), url(2)]);
  await read(held);
  await held.takeOver();
  await held.successorOf(pid);
  expect(await urlsOf(held)).toEqual([url(1), url(2)]);
  await read(held);
});

it('of a file, which is read again on SIGHUP and by reload, by successors as well', async () => {
  const file = site.path('confluent.info');
  writeFileSync(file, 'NODENAME: n1\nMANAGER: 127.0.0.12\nEXTMGRINFO: 127.0.0.12|2|1\n');
  await using held = await mount([url(0)], '--members-from', file);
  expect(await urlsOf(held)).toEqual([url(0), url(1)]);
  writeFileSync(file, 'NODENAME: n1\nMANAGER: 127.0.0.13\n');
  signal(held.daemon, 'SIGHUP');
  await waitUntil(
    'the members are the other ones',
    async () => (await urlsOf(held)).join() === [url(0), url(2)].join(),
  );
  signal(held.daemon, 'SIGKILL');
  await held.successorOf(held.daemon);
  writeFileSync(file, `# two\n${url(1)}\n\n${url(2)}\n`);
  expect((await members('reload', held)).stdout).toBe(`added ${url(1)}\n`);
  await read(held);
  writeFileSync(file, 'http://\n');
  expect(await refusal('reload', held)).toEqual({
    code: 1,
    stderr: expect.stringMatching(/confluent\.info, line 1: /),
  });
  expect(await urlsOf(held)).toEqual([url(0), url(1), url(2)]);
});

it('who is given on the command line or was added stays, though the file named him as well', async () => {
  const file = site.path('members-too');
  writeFileSync(file, `${url(0)}\n${url(1)}\n${url(2)}\n`);
  await using held = await mount([url(0)], '--members-from', file);
  await members('add', held, url(1));
  writeFileSync(file, `${url(2)}\n`);
  expect((await members('reload', held)).stdout).toBe('');
  expect(new Set(await urlsOf(held))).toEqual(new Set([url(0), url(1), url(2)]));
});

it('a file alone is enough, and a wrong one is said before anything is mounted', async () => {
  const file = site.path('members');
  writeFileSync(file, `${url(0)}\n${url(1)}\n`);
  await using held = await mount([], '--members-from', file);
  expect(await urlsOf(held)).toEqual([url(0), url(1)]);
  writeFileSync(file, 'MANAGER: 10.0.0.1\n');
  await expect(mount([], '--members-from', file)).rejects.toThrow(
    /line 1: it names an address: give the URL of the image/,
  );
});
