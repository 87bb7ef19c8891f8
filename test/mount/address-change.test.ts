/**
 * A node's address is replaced under its connections, as confluent's confignet does while the machine boots: what comes for the old
 * address is dropped, and nobody says so.
 */
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type MemberLink, makeNetwork, type Network } from '../../bench/network/network.ts';
import { Daemon } from '../support/daemon.ts';
import { Nginx } from '../support/nginx.ts';
import { waitUntil } from '../support/wait-until.ts';
import { expectRandomReads, fileIn } from './reading.ts';
import { Site } from './site.ts';

/** A second is promised, and 0.1 to 0.8 s are usual; what a status of the same daemon waits meanwhile is the machine's doing. ms */
const bound = 1_500;
const links = [2, 2, 2].map((rttMs) => ({ megabits: 200, rttMs }));

let site: Site;
let network: Network;
const servers: Nginx[] = [];
beforeAll(async () => {
  site = await Site.make({ members: 1, mebibytes: 24 });
  network = await makeNetwork(links);
  for (const { address, launcher } of network.links) {
    servers.push(await Nginx.start({ address, launcher, publicDir: site.path('public-0') }));
  }
});
afterAll(async () => {
  for (const server of servers) await server.close();
  await network?.[Symbol.asyncDispose]();
  await site?.[Symbol.asyncDispose]();
});

/** Our addresses on all links, at once. */
function address(action: 'add' | 'del', host: number): void {
  const device = (link: MemberLink) => `to-m${network.links.indexOf(link) + 1}`;
  const at = ({ ourAddress }: MemberLink) => ourAddress.replace(/\d+$/, String(host));
  const lines = network.links.map((link) => `address ${action} ${at(link)}/24 dev ${device(link)}\n`);
  execFileSync('ip', ['-batch', '-'], { input: lines.join('') });
}

/** Ours now; the members are number 2. */
let host = 1;

it.each([
  { members: 3, absentMs: 0 },
  { members: 1, absentMs: 0 },
  { members: 3, absentMs: 2_000 },
  { members: 1, absentMs: 2_000 },
])('members: $members; address away for $absentMs ms and then another: readers go on', async (change) => {
  const urls = servers.slice(0, change.members).map((server) => server.url('os/test/rootimg.sfs'));
  const options = ['--digest', site.digest, '--cache-size', '4MiB'];
  await using daemon = await Daemon.start({ urls, mountpoint: site.newMountpoint(), options });
  let seed = 1;
  /** Four readers: nearly all that they read has to come from the members. */
  const readSome = () =>
    expectRandomReads(fileIn(daemon), site.served, { count: 60, longest: 200_000, seed: seed++, readers: 4 });
  await readSome();
  let over = false;
  const reading = (async () => {
    let longest = 0;
    while (!over) longest = Math.max(longest, await readSome());
    return longest;
  })();
  let absentMs = 0;
  let longestStatus = 0;
  try {
    await waitUntil('much is under way', async () => (await daemon.status()).cache.chunksInFlight > 4);
    const before = (await daemon.status()).members.map(({ bytes }) => bytes);
    const left = performance.now();
    address('del', host);
    host += 10;
    await sleep(change.absentMs);
    address('add', host);
    absentMs = performance.now() - left;
    await waitUntil('every member serves again', async () => {
      const asked = performance.now();
      const { members } = await daemon.status();
      longestStatus = Math.max(longestStatus, performance.now() - asked);
      return members.every(({ bytes }, index) => bytes > (before[index] ?? 0) + 1_000_000);
    });
  } finally {
    over = true;
  }
  const resumed = (await reading) - absentMs;
  console.log(
    `reads went on ${Math.round(resumed)} ms after the address had been replaced; a status took up to ${Math.round(longestStatus)} ms`,
  );
  expect(resumed - longestStatus).toBeLessThan(bound);
  // Otherwise it did not happen to anybody.
  await daemon.says('an attempt failed');
  expect((await daemon.status()).reads.failed).toBe(0);
  // Nobody is left out for it, once a probe has been there.
  const allUp = async () => (await daemon.status()).members.every(({ state }) => state === 'up');
  await waitUntil('all members are up', allUp);
});
