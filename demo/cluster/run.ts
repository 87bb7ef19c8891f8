/**
 * The demo of a cluster: a machine that owns nothing boots from a site, proves by its TPM who it is, and is believed by whoever believes the site; once more while two of three servers
 * of its image fail; and a third time, into another image. Throws when something does not hold that it claims.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { renderTable } from '../../src/base/text-table.ts';
import { Machine } from '../../test/boot/machine.ts';
import { failedUnits, statusOf, unsealed } from '../../test/boot/node.ts';
import { type Profile, rootOf } from '../../test/boot/profiles.ts';
import { address } from '../../test/boot/site.ts';
import { MachineTpm } from '../../test/boot/tpm.ts';
import { checkoutCommand } from '../../test/support/daemon.ts';
import { Overlay } from '../../test/support/overlay.ts';
import { sshLogin } from '../../test/support/ssh-login.ts';
import { consoleLines } from '../console-lines.ts';
import { Capture } from './capture.ts';
import { ClusterSite, mac, node, nodeAddress, passwordHash } from './site.ts';

const recordSchema = z.object({
  lacks: z.array(z.string()).default([]),
  steps: z.array(z.object({ name: z.string(), began: z.number(), ended: z.number() })),
});

type Say = (line: string) => void;
type Row = [string, string];

/** @param say takes a line at a time of what happens. @returns timelines and proofs. */
export async function clusterDemo(packed: Profile, say: Say): Promise<string> {
  await using site = await ClusterSite.make(packed);
  await using tpm = new MachineTpm();
  say(
    `a member that gives keys, and the image too; ${site.images.map(({ address }) => address).join(', ')} beside it; each in a network of its own`,
  );
  const first = await firstBoot(site, tpm, say);
  const second = await secondBoot(site, tpm, packed, say);
  const third = await thirdBoot(site, tpm, say);
  const columns = [first, second, third].map(({ reached }) => reached);
  const names = [...new Set(columns.flatMap((reached) => [...reached.keys()]))];
  const rows = names.map((name) => [name, ...columns.map((reached) => reached.get(name)?.toFixed(1) ?? '')]);
  return [
    'what was done when, in seconds since the kernel started (in the first boot somebody had to arm the node):',
    renderTable(['done', 'first boot', 'second, servers failing', 'third, another image'], rows),
    '',
    'what this shows, and how it was seen:',
    renderTable(['what', 'seen'], [...first.proofs, ...second.proofs, ...third.proofs]),
  ].join('\n');
}

interface Seen {
  /** When each step was done, in seconds since the kernel started. */
  reached: Map<string, number>;
  proofs: Row[];
}

/** Switched on, without a disk. */
async function switchOn(site: ClusterSite, tpm: MachineTpm): Promise<Machine> {
  return Machine.start({
    profile: site.profile,
    members: [],
    tap: site.network.tap,
    mac,
    siteArchive: site.siteArchive,
    words: [address],
    hardware: await tpm.switchOn(),
    onConsole: consoleLines(),
  });
}

/** Until systemd has started all that it is to start. @returns when each step was done. */
async function up(machine: Machine): Promise<Map<string, number>> {
  await machine.login();
  await machine.run('systemctl is-system-running --wait || true');
  const failed = await failedUnits(machine);
  insist(failed === '', `units have failed: ${failed}`);
  const files = await machine.run('cat /run/tetherfs/boot.json; echo ,; cat /run/tetherfs/onboot.json');
  const records = z.array(recordSchema).parse(JSON.parse(`[${files}]`));
  const lacks = records.flatMap(({ lacks }) => lacks);
  insist(lacks.length === 0, `the node has booted without: ${lacks.join('; ')}`);
  const steps = records.flatMap(({ steps }) => steps);
  const [seconds = ''] = (await machine.run('cat /proc/uptime')).split(' ');
  return new Map([
    ['the kernel, and its devices', steps[0]?.began ?? 0],
    ...steps.map(({ name, ended }) => [name, ended] as const),
    ['every unit of systemd has started', Number(seconds)],
  ]);
}

async function firstBoot(site: ClusterSite, tpm: MachineTpm, say: Say): Promise<Seen> {
  await using capture = await Capture.start(site.network.bridge, 443, site.path('all.pcapng'));
  say(
    `${node} is switched on: 2 GiB, a TPM, no disk; it is emulated, some fifteen times slower than this machine. Its console:`,
  );
  await using machine = await switchOn(site, tpm);
  await machine.says(/arm it \("tetherfs collective node arm node1 once"\)/);
  await site.member.cli('node', 'arm', node, 'once');
  say('an administrator arms it, once');
  await machine.says(/tetherfs: the root file system is there, /);
  const reached = await up(machine);
  const known = await site.knownHosts();
  const login = (command: string) =>
    sshLogin({ host: nodeAddress, identity: join(site.member.state, 'automation'), known, alias: node, command });
  await machine.run('systemctl start ssh');
  const { status, stdout, stderr } = await login(
    'grep ^root: /etc/shadow; ssh-keygen -L -f /etc/ssh/ssh_host_ed25519_key-cert.pub; cat /etc/ssh/ssh_host_ed25519_key',
  );
  insist(status === 0, `ssh: ${stderr}`);
  const [, serial = ''] = /Serial: (\d+)/.exec(stdout) ?? [];
  const audited = new RegExp(`serial ${serial || 'none'}\\b`).test(await site.member.cli('audit', node));
  insist(audited, 'the member has signed another certificate');
  insist(stdout.split(':')[1] === passwordHash, 'the hash of root’s password is not the member’s');
  const refused = await sshLogin({
    host: nodeAddress,
    identity: join(site.member.state, 'automation'),
    known,
    alias: 'node2',
    command: 'true',
  });
  insist(refused.status !== 0, 'it passes for another node');
  await capture.end();
  const closed = capture.undecrypted(site.keyLog);
  insist(closed.length === 0, `${closed.length} connections could not be decrypted`);
  const bodies = capture.bodies(site.keyLog, site.path('bodies'));
  const holds = (text: string) => bodies.some(({ bytes }) => bytes.includes(text));
  const secret = stdout.split('\n').filter((line) => /^[A-Za-z0-9+/=]{70}$/.test(line));
  insist(
    holds('ssh-ed25519-cert-v01@openssh.com '),
    `the certificate is not among the ${bodies.length} bodies that were decrypted`,
  );
  insist(secret.length > 0 && !holds('PRIVATE KEY') && !secret.some(holds), 'a private key has left the node');
  await machine.powerOff();
  return {
    reached,
    proofs: [
      ['ssh, the authority alone in known_hosts', `in, by certificate ${serial} of this boot; refused as another node`],
      ['root’s password', 'its hash is the member’s'],
      [
        'over the network, decrypted',
        `every connection, ${bodies.length} bodies: the host key’s certificate is among them, its private key is not`,
      ],
    ],
  };
}

async function secondBoot(site: ClusterSite, tpm: MachineTpm, packed: Profile, say: Say): Promise<Seen> {
  const [killed, stopped, spared] = site.images;
  await site.member.cli('node', 'disarm', node);
  say('nobody is armed any more; it is switched on again');
  await using machine = await switchOn(site, tpm);
  await machine.says(/tetherfs: the root file system is there, /);
  await killed?.kill();
  await stopped?.stop();
  spared?.forget();
  say(`killed ${killed?.address}, stopped ${stopped?.address}`);
  const reached = await up(machine);
  const grants = (await site.member.cli('audit', node)).match(/key granted/g)?.length;
  insist(grants === 1, `${grants} keys were granted`);
  const tried = await unsealed(machine);
  insist(/a policy check failed[\s\S]*status 1\n/.test(tried), `the TPM gives the key to who asks later: ${tried}`);
  const { reads } = await statusOf(machine);
  insist(reads.failed === 0, `${reads.failed} reads have failed`);
  const left = (spared?.requests() ?? []).filter(({ status, bodyBytes }) => status === 206 && bodyBytes > 100_000);
  insist(left.length > 0, `${spared?.address}, which nothing has happened to, has delivered nothing`);
  await killed?.restart();
  stopped?.cont();
  say('both are back. Now the image is packed anew, and published, under the running machine');
  const before = (await statusOf(machine)).image.digest;
  repack(site, packed);
  await machine.run('echo 3 >/proc/sys/vm/drop_caches; cat /usr/bin/* >/dev/null');
  const now = await statusOf(machine);
  insist(now.image.digest === before && now.reads.failed === 0, 'the repack is noticed under the running machine');
  await machine.powerOff();
  return {
    reached,
    proofs: [
      ['key from the TPM', 'unsealed before PCR 15 was extended, without a grant; the same command fails afterwards'],
      ['one server killed, one stopped', `up all the same: ${reads.waited} reads waited, none failed`],
      ['another image published', 'nothing happens to the running machine'],
    ],
  };
}

async function thirdBoot(site: ClusterSite, tpm: MachineTpm, say: Say): Promise<Seen> {
  say('it is switched on a third time');
  await using machine = await switchOn(site, tpm);
  const reached = await up(machine);
  const motd = await machine.run('cat /etc/motd');
  insist(motd === newMotd, `the image is the old one: ${motd}`);
  const { image } = await statusOf(machine);
  await machine.powerOff();
  return { reached, proofs: [['the next boot', `has it: ${image.digest?.slice(0, 19)}…`]] };
}

const newMotd = 'packed anew\n';

/** The same tree, with a change. */
function repack(site: ClusterSite, packed: Profile): void {
  using tree = new Overlay(rootOf(packed));
  writeFileSync(join(tree.root, 'etc/motd'), newMotd);
  execFileSync(checkoutCommand, ['image', 'pack', tree.root, site.profile], { stdio: ['ignore', 'ignore', 'inherit'] });
}

function insist(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
