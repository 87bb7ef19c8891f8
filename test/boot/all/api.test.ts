/** Boots by the API as they seldom are: a member that refuses the key, and another that does not; a machine without a TPM, the right time, and any address but what its device gives itself. */
import { readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { MemberServer } from '../../support/member.ts';
import { Machine } from '../machine.ts';
import { failedUnits, statusOf } from '../node.ts';
import type { Profile } from '../profiles.ts';
import { address } from '../site.ts';
import { bootSuite } from '../suite.ts';
import { MachineTpm } from '../tpm.ts';

const suite = bootSuite('TETHERFS_BOOT_DRACUT');
const mac = '52:54:00:00:00:01';

/** A member that knows node1 and its image. @param options of `collective run`. */
async function memberFor({ directory, keyFile }: Profile, ...options: string[]): Promise<MemberServer> {
  // nginx has port 80.
  const member = await MemberServer.start('--http-port', '0', ...options);
  const newest = readlinkSync(join(directory, 'rootimg.sfs'));
  member.profile('demo', { [newest]: 'nginx has it', 'private/pending/rootimg.key': readFileSync(keyFile, 'utf8') });
  symlinkSync(newest, join(member.tree, 'public/os/demo/rootimg.sfs'));
  await member.cli('node', 'set', '--default', 'deployment.useinsecureprotocols=always');
  await member.cli('node', 'add', 'node1', `net.hwaddr=${mac}`, 'deployment.pendingprofile=demo');
  return member;
}

async function switchedOn(member: MemberServer, words: string[], hardware: string[] = []): Promise<Machine> {
  const siteArchive = join(member.tree, 'public/site/initramfs.cpio');
  const { directory: profile } = suite.profile;
  return Machine.start({ profile, members: [], tap: suite.site.tap, mac, siteArchive, words, hardware });
}

it('a member that refuses the key is passed over, as long as another believes it; the key stays', async () => {
  await using member = await memberFor(suite.profile, '--listen', '10.9.0.1');
  await using other = await member.copied('--http-port', '0', '--listen', '10.9.0.2');
  await using tpm = new MachineTpm();
  const words = [address, 'tetherfs.api=10.9.0.2,10.9.0.1'];
  await member.cli('node', 'arm', 'node1', 'once');
  {
    await using machine = await switchedOn(member, words, await tpm.switchOn());
    await machine.says(/tetherfs: the TPM keeps the key of this node \(0x81000000\)/);
    await machine.login();
    await machine.powerOff();
  }
  expect(await other.cli('audit', 'node1')).not.toMatch(/key granted/);
  await using machine = await switchedOn(member, words, await tpm.switchOn());
  await machine.login();
  expect((await member.cli('audit', 'node1')).match(/key granted/g)).toHaveLength(1);
  const { lacks } = JSON.parse(await machine.run('cat /run/tetherfs/boot.json'));
  expect(lacks).toEqual([]);
});

it('without a TPM, an address, and the time: found and asked by link-local addresses, a grant each time', async () => {
  await using member = await memberFor(suite.profile);
  await member.cli('node', 'arm', 'node1', 'continuous');
  for (const boots of [1, 2]) {
    await using machine = await switchedOn(member, ['rd.neednet=0'], ['-rtc', 'base=2001-02-03T04:05:06']);
    await machine.says(/tetherfs: the clock was years behind: now it is what a member has told/);
    await machine.says(/tetherfs: this is node1, to boot demo, by members fe80::\S+%eth0/);
    await machine.says(/tetherfs: it has no TPM: this node asks for a key at each boot/);
    await machine.login();
    await machine.run('systemctl is-system-running --wait || true');
    expect(await failedUnits(machine)).toBe('');
    expect((await statusOf(machine)).reads.failed).toBe(0);
    expect((await member.cli('audit', 'node1')).match(/key granted/g)).toHaveLength(boots);
    await machine.powerOff();
  }
});
