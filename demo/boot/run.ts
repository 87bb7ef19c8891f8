/**
 * The demo of a boot: a machine without a disk comes up from three members, one of which is killed on the way and another stopped, and shows what its root
 * stands on, what writing costs, and what a killed and a replaced daemon cost its readers. Throws when something does not hold that it claims.
 */
import { z } from 'zod';
import { renderTable } from '../../src/base/text-table.ts';
import { Machine } from '../../test/boot/machine.ts';
import { complaint, failedUnits, image, statusOf, successorOf, writeAndDelete } from '../../test/boot/node.ts';
import type { Profile } from '../../test/boot/profiles.ts';
import { address, BootSite } from '../../test/boot/site.ts';
import { consoleLines } from '../console-lines.ts';

const MiB = 1024 * 1024;

const recordSchema = z.object({
  decryption: z.string(),
  steps: z.array(z.object({ name: z.string(), began: z.number(), ended: z.number() })),
});

/** @param say takes a line at a time of what happens. @returns the closing timeline and table. */
export async function bootDemo(profile: Profile, say: (line: string) => void): Promise<string> {
  await using site = await BootSite.make(profile.publicDir);
  say(`three members: ${site.urls(profile.path).join(' ')}`);
  say('a machine without a disk is switched on; it is emulated, some fifteen times slower than this one. Its console:');
  await using machine = await Machine.start({
    profile: profile.directory,
    members: site.urls(profile.path),
    keyFile: profile.keyFile,
    words: [address],
    tap: site.tap,
    onConsole: consoleLines(),
  });
  await machine.says(/tetherfs: the root file system is there, /);
  await site.members[0]?.kill();
  await site.members[1]?.stop();
  say(`killed ${site.members[0]?.address}, stopped ${site.members[1]?.address}`);
  await machine.login();
  const up = await uptime(machine);
  const failed = await failedUnits(machine);
  if (failed !== '') throw new Error(`units have failed: ${failed}`);
  await site.members[0]?.restart();
  site.members[1]?.cont();

  const record = recordSchema.parse(JSON.parse(await machine.run('cat /run/tetherfs/boot.json')));
  const rows: string[][] = [];
  const stack = (
    await machine.run("grep -E ' (/|/run/initramfs/tetherfs/[a-z]+) ' /proc/mounts | cut -d ' ' -f 1-3")
  ).trim();
  rows.push([
    'root stands on',
    stack
      .split('\n')
      .reverse()
      .map((line) => line.split(' '))
      .map(([source, , type]) => `${type} (${source?.replace(/^tetherfs:.*/, 'tetherfs')})`)
      .join(' over '),
  ]);

  const { taken, givenBack } = await writeAndDelete(machine);
  rows.push(
    ['200 MiB written', `${mib(taken)} more RAM, compressed`],
    ['deleted', `${mib(givenBack)} given back, without fstrim`],
  );
  say('200 MiB were written and deleted');

  const { pid, members } = await statusOf(machine);
  rows.push([
    'bytes of each member',
    members.map(({ url, bytes }) => `${new URL(url).hostname} ${mib(bytes)}`).join(', '),
  ]);
  const killed = await longestGap(machine, async () => {
    await machine.run(`kill -9 ${pid}`);
    await successorOf(machine, pid);
  });
  say('the daemon was killed under readers, and another goes on');
  rows.push(['daemon killed', `${killed} without an answer, no error`]);
  const second = (await statusOf(machine)).pid;
  const replaced = await longestGap(machine, async () => {
    await machine.run(`tetherfs takeover ${image}`);
    await successorOf(machine, second);
  });
  say('the daemon was replaced under readers by tetherfs takeover');
  rows.push(['daemon replaced', `${replaced} without an answer, no error`]);
  const { reads } = await statusOf(machine);
  if (reads.failed > 0) throw new Error(`${reads.failed} reads have failed`);
  const complaints = (await machine.powerOff()).split('\n').filter((line) => complaint.test(line));
  if (complaints.length > 0) throw new Error(`the shutdown complains: ${complaints[0]}`);
  rows.push(['switched off', 'nothing failed, nothing hung']);

  const timeline = record.steps.map(({ name, began, ended }) => [name, began.toFixed(1), ended.toFixed(1)]);
  timeline.push(['login', '', up.toFixed(1)]);
  return [
    'timeline, seconds since the kernel started:',
    renderTable(['step', 'began', 'ended'], timeline),
    '',
    renderTable(['what', 'seen'], rows),
  ].join('\n');
}

async function uptime(machine: Machine): Promise<number> {
  return Number((await machine.run('cut -d " " -f 1 /proc/uptime')).trim());
}

/** What the readers of a machine waited for longest, while that was done; they read the image's programs again and again. @throws Error when one failed. */
async function longestGap(machine: Machine, action: () => Promise<void>): Promise<string> {
  await machine.run(`rm -f /times /reader; (while :; do
    for file in /usr/bin/*; do
      echo 1 >/proc/sys/vm/drop_caches
      cat "$file" >/dev/null 2>>/reader
      cut -d ' ' -f 1 /proc/uptime >>/times
    done
  done) & echo $! >/reader.pid; disown`);
  await action();
  // Also what a reader waits for at this moment.
  await machine.run('seen=$(wc -l </times); until [ "$(wc -l </times)" -gt $((seen + 1)) ]; do sleep 0.1; done');
  const gap = await machine.run(
    "kill $(cat /reader.pid); awk 'NR > 1 && $1 - last > most { most = $1 - last } { last = $1 } END { print most }' /times; cat /reader",
  );
  if (!/^[\d.]+\n$/.test(gap)) throw new Error(`a reader failed: ${gap}`);
  return `${Number(gap).toFixed(1)} s`;
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MiB)} MiB`;
}
