/**
 * Debian's own kernel, `uncompressed`: the image unpacked into RAM, and nothing of tetherfs running afterwards. The machine has no address but the one that its
 * network device gives itself.
 */
import { expect, it } from 'vitest';
import { complaint, failedUnits } from '../node.ts';
import { bootSuite } from '../suite.ts';

const suite = bootSuite('TETHERFS_BOOT_OWN_KERNEL', 'quiet confluent_imagemethod=uncompressed');
const start = (memoryMiB: number) =>
  suite.start({ words: ['ip=off'], members: [suite.site.linkLocalUrl(suite.profile.path)], memoryMiB });

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
  for (const member of suite.site.members) await member.kill();
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
