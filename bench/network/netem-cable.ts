/**
 * A cable made by the kernel: a veth pair, each end with the queueing discipline netem. The kernels of the machines that this was
 * written on have none, so it is the less tried of the two.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import * as z from 'zod';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { Cable, LinkSettings, WireCounters } from './cable.ts';
import { run } from './run.ts';

const frameBits = 1514 * 8;
const report = z.array(z.object({ kind: z.string(), bytes: z.number(), packets: z.number(), drops: z.number() }));

/** Whether the kernel has netem and lets us use it. Asked by trying. */
export function hasNetem(): boolean {
  const tried = spawnSync('tc', ['qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '0ms'], { stdio: 'ignore' });
  if (tried.status === 0) run('tc', 'qdisc', 'delete', 'dev', 'lo', 'root');
  return tried.status === 0;
}

export async function makeNetemCable(number: number): Promise<Cable> {
  const [nodeDevice, memberDevice] = [`to-m${number}`, 'eth0'];
  // Holds the namespace until its standard input, a pipe of ours, ends: also when we are killed.
  const holder = spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(holder, 'exit');
  const namespace = `/proc/${holder.pid}/ns/net`;
  await waitUntil('the member has its namespace', () => readlinkSync(namespace) !== readlinkSync('/proc/self/ns/net'));
  const ends = [
    { device: nodeDevice, launcher: [] },
    { device: memberDevice, launcher: ['nsenter', `--net=${namespace}`, '--'] },
  ];
  const peer = ['peer', 'name', memberDevice, 'netns', String(holder.pid)];
  run('ip', 'link', 'add', nodeDevice, 'type', 'veth', ...peer);
  let settings: Required<LinkSettings> | undefined;
  let silent = false;
  const apply = () => {
    for (const { device, launcher } of ends) {
      run(...launcher, 'tc', 'qdisc', 'replace', 'dev', device, 'root', 'netem', ...netemWords(settings, silent));
    }
  };
  for (const { device, launcher } of ends) {
    // netem counts packets: a 64 KiB segment would pass for one frame in its queue and in its dice.
    run(...launcher, 'ip', 'link', 'set', device, 'gso_max_segs', '1');
  }
  apply();
  return {
    nodeDevice,
    memberDevice,
    namespace,
    async set(changed) {
      settings = changed;
      apply();
    },
    async silence(on) {
      silent = on;
      apply();
    },
    async counters() {
      const [toMember, fromMember] = ends.map(({ device, launcher }) => netemCounters(device, launcher));
      if (toMember === undefined || fromMember === undefined) throw new Error('a cable has two ends');
      return { toMember, fromMember };
    },
    async close() {
      run('ip', 'link', 'delete', nodeDevice);
      holder.stdin?.end();
      await ended;
    },
  };
}

function netemWords(settings: Required<LinkSettings> | undefined, silent: boolean): string[] {
  if (settings === undefined) return [];
  const { megabits, rttMs, loss, queueMs } = settings;
  // Its limit is of everything that is under way, on the line too.
  const limit = Math.ceil(((queueMs + rttMs / 2) * megabits * 1000) / frameBits) + 1;
  return [
    ...['limit', String(limit), 'delay', `${(rttMs * 1000) / 2}us`, 'rate', `${Math.round(megabits * 1e6)}bit`],
    ...['loss', `${silent ? 100 : loss * 100}%`],
  ];
}

function netemCounters(device: string, launcher: readonly string[]): WireCounters {
  const [command = '', ...words] = [...launcher, 'tc', '-json', '-statistics', 'qdisc', 'show', 'dev', device];
  const found = report.parse(JSON.parse(execFileSync(command, words, { encoding: 'utf8' })));
  const netem = found.find(({ kind }) => kind === 'netem');
  return { bytes: netem?.bytes ?? 0, frames: netem?.packets ?? 0, lost: netem?.drops ?? 0 };
}
