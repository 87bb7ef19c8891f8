/**
 * A profile whose tree got a newer kernel by its own package manager, `progressive`: it boots before the image is in RAM, and needs nobody once it is. Its address
 * comes by DHCP, and at first no member answers.
 */
import { expect, it } from 'vitest';
import { waitUntil } from '../../support/wait-until.ts';
import { complaint, failedUnits, statusOf } from '../node.ts';
import { initramfsSize } from '../profiles.ts';
import { addressByDhcp } from '../site.ts';
import { bootSuite } from '../suite.ts';

const suite = bootSuite('TETHERFS_BOOT_UPGRADED', 'quiet confluent_imagemethod=progressive');

it('its initramfs, which the kernel’s package made, has at most 80 MB', () => {
  expect(initramfsSize(suite.profile)).toBeLessThan(80e6);
});

it('says that no member answers, boots when they do, and runs on without them when it has all', async () => {
  for (const member of suite.site.members) await member.kill();
  await using machine = await suite.start({ words: [addressByDhcp] });
  await machine.says(/tetherfs: progressive, from 3 members/);
  await machine.says(/tetherfs: .*nothing listens at 10\.9\.0\.1/);
  for (const member of suite.site.members) await member.restart();
  await machine.says(/tetherfs: the root file system is there, /);
  await machine.login();
  expect(await machine.run('uname -r')).toMatch(/^6\.12\./);
  expect(await machine.run('ls -1 /lib/modules')).toMatch(/^6\.1\.\S+\n6\.12\.\S+\n$/);
  expect(await machine.run('ip -4 address show dev eth0')).toContain('inet 10.9.0.12');
  await waitUntil('all of the image is in RAM', async () => (await statusOf(machine)).memory.state === 'untethered', {
    timeoutMs: 480_000,
  });
  for (const member of suite.site.members) await member.kill();
  expect(await machine.run('cat /usr/bin/* /usr/lib/x86_64-linux-gnu/*.so* | wc -c')).toMatch(/^\d{8,}\n$/);
  expect(await failedUnits(machine)).toBe('');
  expect(await machine.powerOff()).not.toMatch(complaint);
});
