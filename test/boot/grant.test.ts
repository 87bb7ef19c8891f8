/**
 * A Debian machine without a disk that owns nothing: it finds its member, gets its key by a grant, and from the API what it is to boot, with the image's digest and key.
 */
import { readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MemberServer } from '../support/member.ts';
import { Machine } from './machine.ts';
import { failedUnits, image, statusOf } from './node.ts';
import { address } from './site.ts';
import { bootSuite } from './suite.ts';

const suite = bootSuite('TETHERFS_BOOT_INITRAMFS_TOOLS');
const mac = '52:54:00:00:00:01';
let member: MemberServer;
let machine: Machine;

beforeAll(async () => {
  // nginx has port 80.
  member = await MemberServer.start('--http-port', '0');
  const { directory, keyFile } = suite.profile;
  const newest = readlinkSync(join(directory, 'rootimg.sfs'));
  const publicDir = join(member.tree, 'public/os/demo');
  member.profile('demo', { [newest]: 'nginx has it', 'private/pending/rootimg.key': readFileSync(keyFile, 'utf8') });
  symlinkSync(newest, join(publicDir, 'rootimg.sfs'));
  await member.cli('node', 'set', '--default', 'deployment.useinsecureprotocols=always');
  await member.cli(
    'node',
    'add',
    'node1',
    `net.hwaddr=${mac}`,
    'net.ipv4_address=10.9.0.100/24',
    'deployment.pendingprofile=demo',
  );
  machine = await Machine.start({
    profile: suite.profile.directory,
    members: [],
    tap: suite.site.tap,
    mac,
    siteArchive: join(member.tree, 'public/site/initramfs.cpio'),
    words: [address],
  });
});
afterAll(async () => {
  await machine?.[Symbol.asyncDispose]();
  await member?.[Symbol.asyncDispose]();
});

it('waits until it is armed, and says so; then it boots what the API says', async () => {
  await machine.says(
    /tetherfs: key: node1 has no key: .* gives none: arm it \("tetherfs collective node arm node1 once"\)/,
  );
  await member.cli('node', 'arm', 'node1', 'once');
  await machine.says(/tetherfs: this is node1, to boot demo, by members /);
  await machine.says(/tetherfs: tethered, from \d+ members, every chunk verified against sha256:/);
  await machine.says(/tetherfs: the root file system is there, /);
  await machine.login();
  expect(await failedUnits(machine)).toBe('');
  const { image: mounted, reads } = await statusOf(machine);
  expect(mounted.digest).toBe(`sha256:${readlinkSync(join(suite.profile.directory, 'rootimg.sfs')).slice(8, -4)}`);
  expect(reads.failed).toBe(0);
});

it('the key of the image came by the API, and nobody but root reads it; none is on the command line', async () => {
  expect(await machine.run('stat -c "%a %u" /run/tetherfs /run/tetherfs/rootimg.key')).toBe('700 0\n600 0\n');
  expect(await machine.run('cat /proc/cmdline')).not.toMatch(/key/);
  const audit = await member.cli('audit', 'node1');
  expect(audit).toMatch(/key granted/);
  expect(audit).toMatch(/key used/);
  expect(audit).toMatch(/image key/);
  expect(await machine.run(`ls ${image}`)).toBe('rootimg.sfs\n');
});
