/** A Debian machine whose initramfs is dracut's, and whose profile.yaml says `untethered`: once it is up, it needs neither members nor network. */
import { expect, it } from 'vitest';
import { complaint, failedUnits } from './node.ts';
import { initramfsSize } from './profiles.ts';
import { address } from './site.ts';
import { bootSuite } from './suite.ts';

const suite = bootSuite('TETHERFS_BOOT_DRACUT', 'quiet confluent_imagemethod=untethered');
const start = (memoryMiB: number) => suite.start({ words: [address, 'tetherfs.decryption=tetherfs'], memoryMiB });

it('its initramfs has at most 80 MB', () => {
  expect(initramfsSize(suite.profile)).toBeLessThan(80e6);
});

it('too little memory is said before it hurts', async () => {
  await using machine = await start(640);
  await machine.says(
    /tetherfs: the image does not fit into RAM: it needs .* and .* are available; use the image method tethered/,
  );
});

it('boots, and runs on without members', async () => {
  await using machine = await start(2048);
  await machine.says(/tetherfs: untethered, from 3 members/);
  await machine.says(/tetherfs: the root file system is there, /);
  for (const member of suite.site.members) await member.kill();
  await machine.login();
  expect(await machine.run('cat /run/tetherfs/boot.json')).toMatch(/"decryption": "tetherfs"/);
  expect(await machine.run('tetherfs status')).toContain('untethered');
  expect(await machine.run('cat /usr/bin/* /usr/lib/x86_64-linux-gnu/*.so* | wc -c')).toMatch(/^\d{8,}\n$/);
  expect(await failedUnits(machine)).toBe('');
  expect(await machine.powerOff()).not.toMatch(complaint);
});
