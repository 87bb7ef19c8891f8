/** Two hundred nodes that boot at once, each request by a connection of its own, beside a bare HTTPS server under the same client. Long form: `npm run test:collective`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeHeaders } from '../../src/protocol/headers.ts';
import { askForKey, MemberServer } from '../support/member.ts';
import { isLong, many } from './scale.ts';

const count = many(20, 200);
/** Requests of a node, after its first. */
const requests = 9;
const rounds = 5;
const barePort = 4443;

let member: MemberServer;
const keys = new Map<string, string>();
beforeAll(async () => {
  member = await MemberServer.start();
  member.profile('demo', { 'profile.yaml': 'label: Demo\n' });
  const nodes = Array.from({ length: count }, (_, index) => `n${index + 1}`);
  const file = member.path('nodes.csv');
  writeFileSync(file, `node,deployment.pendingprofile\n${nodes.map((node) => `${node},demo\n`).join('')}`);
  await member.cli('node', 'import', file);
  await member.cli('node', 'arm', `n[1-${count}]`, 'once');
  for (const node of nodes) keys.set(node, (await askForKey(node)) ?? '');
});
afterAll(() => member?.[Symbol.asyncDispose]());

/** By a connection of its own. @returns its status and length. */
function get(port: number, path: string, headers: Record<string, string> = {}): Promise<[number, number]> {
  return new Promise((resolve, reject) => {
    const ca = readFileSync(member.ca);
    request({ host: '127.0.0.1', port, path, headers, ca, agent: false, ecdhCurve: 'P-256' }, (response) => {
      let length = 0;
      response.on('data', (bytes: Buffer) => {
        length += bytes.length;
      });
      response.on('end', () => resolve([response.statusCode ?? 0, length]));
    })
      .on('error', reject)
      .end();
  });
}

const path = '/confluent-api/self/deploycfg2';
/** All nodes at once, each one request after the other. @returns ms. */
async function boot(ask: (node: string, key: string) => Promise<[number, number]>, times: number): Promise<number> {
  const startedAt = performance.now();
  await Promise.all(
    [...keys].map(async ([node, key]) => {
      for (let number = 0; number < times; number++) expect((await ask(node, key))[0]).toBe(200);
    }),
  );
  return performance.now() - startedAt;
}
/** Of a process and its threads, so far. proc(5), stat; ticks of 10 ms. */
function cpuMs(pid: number | undefined): number {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const [user, system] = fields.split(' ').slice(11, 13).map(Number);
  return 10 * ((user ?? 0) + (system ?? 0));
}

const ofMember = (node: string, key: string) => get(443, path, nodeHeaders(node, key));
const ofBare = (node: string, key: string) => get(barePort, path, nodeHeaders(node, key));

it('each gets its answers, the first after its key has been checked in full', async () => {
  await boot(ofMember, 1);
  await boot(ofMember, requests);
  expect(member.said).not.toMatch(/a request failed/);
});

it.runIf(isLong)('afterwards in at most one and a half times what a bare server takes', async () => {
  const [, length] = await ofMember('n1', keys.get('n1') ?? '');
  const bare = spawn(
    process.execPath,
    [fileURLToPath(new URL('bare-https.ts', import.meta.url)), String(barePort), member.state, String(length)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  try {
    await once(bare.stdout, 'data');
    const ratios: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const before = [cpuMs(bare.pid), cpuMs(member.pid)] as const;
      const bareMs = await boot(ofBare, requests);
      const memberMs = await boot(ofMember, requests);
      ratios.push(memberMs / bareMs);
      const cpu = [cpuMs(bare.pid) - before[0], cpuMs(member.pid) - before[1]] as const;
      console.log(
        `${count} nodes, ${requests} requests each: a bare server ${bareMs.toFixed(0)} ms (CPU ${cpu[0]}), the member ${memberMs.toFixed(0)} ms (CPU ${cpu[1]})`,
      );
    }
    ratios.sort((a, b) => a - b);
    const median = ratios[rounds >> 1] ?? Number.NaN;
    console.log(
      `ratio, median of ${rounds}: ${median.toFixed(2)} (${ratios.map((ratio) => ratio.toFixed(2)).join(' ')})`,
    );
    expect(median).toBeLessThanOrEqual(1.5);
  } finally {
    bare.kill();
  }
});
