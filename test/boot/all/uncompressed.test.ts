/**
 * Debian's own kernel, `uncompressed`: the image unpacked into RAM, and nothing of tetherfs running afterwards. The machine has no address but the one that its
 * network device gives itself.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeTempDir } from '../../support/temp-dir.ts';
import { Machine } from '../machine.ts';
import { complaint, failedUnits } from '../node.ts';
import { profileOf, withKernelArgs } from '../profiles.ts';
import { BootSite } from '../site.ts';

const temp = makeTempDir('boot');
const profile = withKernelArgs(
  profileOf('TETHERFS_BOOT_OWN_KERNEL'),
  'quiet confluent_imagemethod=uncompressed',
  temp.path,
);
let site: BootSite;

beforeAll(async () => {
  site = await BootSite.make(profile.publicDir);
});
afterAll(async () => {
  await site?.[Symbol.asyncDispose]();
  temp.remove();
});

const start = (memoryMiB: number) =>
  Machine.start({
    profile: profile.directory,
    members: [site.linkLocalUrl(profile.path)],
    keyFile: profile.keyFile,
    words: ['ip=off'],
    tap: site.tap,
    memoryMiB,
  });

it('too little memory is said', async () => {
  await using machine = await start(640);
  await machine.says(
    /tetherfs: the unpacked image does not fit into memory: .* are left for it; use another image method, /,
  );
});

it('boots by a link-local address, and needs nobody afterwards', async () => {
  await using machine = await start(3072);
  await machine.says(/tetherfs: uncompressed, from one member/);
  await machine.says(/tetherfs: the root file system is there, /);
  for (const member of site.members) await member.kill();
  await machine.login();
  expect(await machine.run('uname -r')).toMatch(/^6\.1\./);
  expect(await machine.run("grep ' / ' /proc/mounts")).toMatch(/^tetherfs \/ tmpfs /);
  expect(await machine.run('grep -c fuse.tetherfs /proc/mounts || true')).toBe('0\n');
  expect(await machine.run('pgrep -f ^@tetherfs || true')).toBe('');
  expect(await machine.run('ls /dev/mapper')).toBe('control\n');
  expect(await machine.run('cat /run/tetherfs/boot.json')).toMatch(/"method": "uncompressed"/);
  expect(await failedUnits(machine)).toBe('');
  expect(await machine.powerOff()).not.toMatch(complaint);
});
