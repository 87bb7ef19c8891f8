/** docs/images.md, «From nothing to a booted node»: all of its commands, in order, and a machine that boots by PXE. The tree has been built by scripts/guide-tree, for that needs the network. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { onOutput } from '../../support/child-output.ts';
import { allProcesses, commandLine, signal } from '../../support/process-tree.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { Machine } from '../machine.ts';

const document = new URL('../../../docs/images.md', import.meta.url);
const checkout = dirname(dirname(fileURLToPath(document)));
/** Of the member, the image, the network and the node, the machine, and the end. */
const [run = '', imageCommands = '', network = '', machineLine = '', reached = ''] = blocks();
let member: ChildProcess | undefined;
let machine: Machine | undefined;

function blocks(): string[] {
  const [, section = ''] = /^## From nothing to a booted node\n(.*?)^## /ms.exec(readFileSync(document, 'utf8')) ?? [];
  return [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
}

/** As somebody types it in a terminal: in the checkout, with its commands in the path. */
function typed(block: string): string {
  const path = `${join(checkout, 'bin')}:${process.env['PATH']}`;
  return execFileSync('bash', ['-euc', block], {
    cwd: checkout,
    env: { ...process.env, PATH: path },
    encoding: 'utf8',
  });
}

/** A place of this machine's, for this file alone; with what is there, or empty. */
function ownPlace(path: string, content: 'as it is' | 'empty'): void {
  const mount = `mount -t tmpfs -o mode=755 own ${path}`;
  const script =
    content === 'empty'
      ? mount
      : `kept=$(mktemp -d); cp -a ${path}/. $kept; ${mount}; cp -a $kept/. ${path}; rm -r $kept`;
  execFileSync('sh', ['-ec', script]);
}

beforeAll(async () => {
  const tree = process.env['TETHERFS_BOOT_GUIDE'];
  if (tree === undefined) throw new Error('$TETHERFS_BOOT_GUIDE is not set: run npm run test:boot -- --all');
  ownPlace('/etc', 'as it is');
  ownPlace('/root', 'empty');
  ownPlace('/var/lib', 'empty');
  ownPlace('/srv', 'empty');
  for (const directory of ['/var/lib/misc', '/root/.ssh', '/srv/trees', '/srv/trees/demo']) mkdirSync(directory);
  execFileSync('mount', ['--bind', tree, '/srv/trees/demo']);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', '/root/.ssh/id_ed25519']);
  member = spawn('bash', ['-euc', run.replace(/^(?=bin\/tetherfs)/m, 'exec ')], {
    cwd: checkout,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  onOutput(member, (text) => {
    said += text;
  });
  await waitUntil('the member serves', () => /^listens: /m.test(said) || member?.exitCode !== null, {
    timeoutMs: 60_000,
  });
  if (member.exitCode !== null) throw new Error(`the member ended with ${member.exitCode}: ${said}`);
});
afterAll(async () => {
  await machine?.[Symbol.asyncDispose]();
  if (member?.exitCode === null) {
    member.kill();
    await once(member, 'exit');
  }
  const servers = () => allProcesses().filter((pid) => commandLine(pid).startsWith('dnsmasq '));
  for (const pid of servers()) signal(pid, 'SIGTERM');
  // It has its leases open.
  await waitUntil('dnsmasq has ended', () => servers().length === 0);
  for (const path of ['/srv/trees/demo', '/srv', '/var/lib', '/root', '/etc']) execFileSync('umount', [path]);
});

it('a machine boots by PXE what was built, and can be reached', async () => {
  typed(imageCommands.replace(/^.*^tetherfs image build[^\n]*$/ms, ''));
  typed(network);
  machine = Machine.startBy(machineLine);
  await machine.says(/iPXE/);
  await machine.says(/tetherfs: this is n1, to boot demo, by members /);
  await machine.says(/n1 login: /);
  expect(typed(reached)).toMatch(/^n1: demo, tethered/);
});
