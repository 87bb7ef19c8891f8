/** Which of the file systems that a machine has mounted are captured, and as what. */
import { expect, test } from 'vitest';
import { parseMounts } from '../../src/base/mounts.ts';
import { choose } from '../../src/imgutil/capture/survey.ts';

/** Device, root, mountpoint, type, source, options. */
type Mount = readonly [string, string, string, string, string, string?];

const root: Mount = ['8:1', '/', '/', 'ext4', '/dev/sda1'];

function chosen(mounts: readonly Mount[], without: readonly string[] = []) {
  const lines = mounts.map(
    ([device, from, place, type, source, options = 'rw'], index) =>
      `${index + 20} 19 ${device} ${from} ${place} rw,relatime shared:1 - ${type} ${source} ${options}`,
  );
  const { captured, aliases, passedOver } = choose(parseMounts(lines.join('\n')), without);
  return { captured: captured.map(({ mountpoint }) => mountpoint), aliases, passedOver };
}

test('what is on disks; the root first, each behind those that it lies in', () => {
  const mounts: Mount[] = [
    ['8:2', '/', '/home', 'ext4', '/dev/sda2'],
    root,
    ['8:3', '/', '/home/x', 'xfs', '/dev/mapper/vg-x'],
    ['8:4', '/', '/boot/efi', 'vfat', '/dev/nvme0n1p1'],
    ['0:20', '/', '/proc', 'proc', 'proc'],
    ['0:21', '/', '/dev/shm', 'tmpfs', 'tmpfs'],
    ['0:99', '/', '/var/lib/docker/overlay2/x/merged', 'overlay', 'overlay'],
  ];
  expect(chosen(mounts)).toEqual({ captured: ['/', '/home', '/boot/efi', '/home/x'], aliases: [], passedOver: [] });
});

test('what else holds data is named', () => {
  const mounts: Mount[] = [
    root,
    ['0:50', '/', '/tank', 'zfs', 'tank/home'],
    ['0:51', '/', '/nfs', 'nfs4', 'server:/x'],
    ['0:52', '/', '/shared', 'virtiofs', 'tag'],
    ['7:0', '/', '/snap/core/1', 'squashfs', '/dev/loop0'],
    ['252:0', '/', '/z', 'ext4', '/dev/zram0'],
    ['0:53', '/', '/efi', 'autofs', 'systemd-1'],
    ['0:54', '/', '/proc/sys/fs/binfmt_misc', 'autofs', 'systemd-1'],
    ['8:5', '/', '/tmp', 'ext4', '/dev/sda5'],
    ['8:6', '/', '/run/media/x', 'vfat', '/dev/sdb1'],
    ['8:7', '/', '/scratch/a', 'xfs', '/dev/sdc1'],
  ];
  expect(chosen(mounts, ['/scratch'])).toEqual({
    captured: ['/'],
    aliases: [],
    passedOver: [
      '/tank (zfs)',
      '/nfs (nfs4)',
      '/shared (virtiofs)',
      '/snap/core/1 (squashfs)',
      '/z (ext4)',
      '/efi (autofs: nothing is mounted there now)',
      '/tmp (of this machine alone)',
      '/run/media/x (of this machine alone)',
      '/scratch/a (as was said)',
    ],
  });
});

test('what is covered by another mount is not seen; an automount that has happened is what it has mounted', () => {
  const mounts: Mount[] = [
    ['0:2', '/', '/', 'rootfs', 'rootfs'],
    root,
    ['8:2', '/', '/srv', 'ext4', '/dev/sda2'],
    ['8:3', '/', '/srv', 'ext4', '/dev/sda3'],
    ['0:53', '/', '/boot', 'autofs', 'systemd-1'],
    ['8:4', '/', '/boot', 'vfat', '/dev/sda4'],
  ];
  expect(chosen(mounts)).toEqual({ captured: ['/', '/boot', '/srv'], aliases: [], passedOver: [] });
});

test('a part of a file system that is mounted elsewhere as well is there once, whichever was mounted first', () => {
  const mounts: Mount[] = [
    root,
    ['8:2', '/home', '/home', 'xfs', '/dev/sdb1'],
    ['8:2', '/', '/data', 'xfs', '/dev/sdb1'],
    ['8:1', '/srv/munge', '/etc/munge', 'ext4', '/dev/sda1'],
    ['8:1', '/', '/host', 'ext4', '/dev/sda1'],
    ['8:2', '/home/ann/x', '/home/ann/y', 'xfs', '/dev/sdb1'],
  ];
  expect(chosen(mounts)).toEqual({
    captured: ['/', '/data'],
    aliases: [
      { mountPoint: '/home/ann/y', target: '/data/home/ann/x' },
      { mountPoint: '/etc/munge', target: '/srv/munge' },
      { mountPoint: '/host', target: '/' },
      { mountPoint: '/home', target: '/data/home' },
    ],
    passedOver: [
      '/host (/ once more)',
      '/home (/data/home once more)',
      '/etc/munge (/srv/munge once more)',
      '/home/ann/y (/data/home/ann/x once more)',
    ],
  });
});

test('a root that is a part of its file system is the root all the same', () => {
  const mounts: Mount[] = [
    ['253:0', '/', '/sysroot', 'xfs', '/dev/mapper/root'],
    ['253:0', '/ostree/deploy/x', '/', 'xfs', '/dev/mapper/root'],
    ['253:0', '/ostree/deploy/var', '/var', 'xfs', '/dev/mapper/root'],
  ];
  expect(chosen(mounts)).toEqual({
    captured: ['/', '/var'],
    aliases: [],
    passedOver: ['/sysroot (of it / is captured, and nothing else)'],
  });
});

test('subvolumes of btrfs are file systems of their own, a directory of one is not', () => {
  const mounts: Mount[] = [
    ['0:40', '/', '/', 'btrfs', '/dev/sda1', 'rw,subvolid=5,subvol=/'],
    ['0:40', '/@home', '/home', 'btrfs', '/dev/sda1', 'rw,subvolid=257,subvol=/@home'],
    ['0:40', '/@home', '/people', 'btrfs', '/dev/sda1', 'rw,subvolid=257,subvol=/@home'],
    ['0:40', '/srv/a', '/b', 'btrfs', '/dev/sda1', 'rw,subvolid=5,subvol=/'],
    ['0:40', '/@/.snapshots', '/.snapshots', 'btrfs', '/dev/sda1', 'rw,subvol=/@/.snapshots'],
  ];
  expect(chosen(mounts)).toMatchObject({
    captured: ['/', '/home'],
    aliases: [
      { mountPoint: '/people', target: '/home' },
      { mountPoint: '/b', target: '/srv/a' },
    ],
  });
});

test('what cannot be captured is refused with a word', () => {
  expect(() => chosen([['0:30', '/', '/', 'overlay', 'overlay']])).toThrow(
    'its root is overlay on overlay: only ext2, ',
  );
  expect(() => chosen([root, ['8:2', '/', '/a\\012b', 'ext4', '/dev/sda2']])).toThrow('control characters');
  const inside: Mount[] = [
    root,
    ['8:1', '/srv', '/people', 'ext4', '/dev/sda1'],
    ['8:2', '/', '/people/x', 'ext4', '/dev/sda2'],
  ];
  expect(() => chosen(inside)).toThrow(
    '/people/x is mounted in /people, which is /srv once more: say --without /people/x',
  );
  expect(chosen(inside, ['/people/x']).captured).toEqual(['/']);
});
