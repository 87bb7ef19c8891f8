/** A machine with disks, btrfs with subvolumes and ext4, boots from them, is captured while it runs, and boots without a disk from what came of it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { withLibraries } from '../../image/own-programs.ts';
import { checkoutCommand } from '../../support/daemon.ts';
import { makeTempDir } from '../../support/temp-dir.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { Machine } from '../machine.ts';
import { complaint, failedUnits } from '../node.ts';
import { profileOf, rootOf } from '../profiles.ts';
import { address, BootSite } from '../site.ts';

const node = '10.9.0.100';
const directory = makeTempDir('captured');
const at = (...path: string[]) => join(directory.path, ...path);
const publicDir = at('public');
const outDir = at('public/os/captured');
let site: BootSite;

/** A Debian on disks: nothing of it is of ours. DIRECTORY TREE PROGRAMS */
const install = `set -e
cd "$1"
mkdir disk
truncate -s 3G one.img
truncate -s 200M two.img
mkfs.btrfs -q one.img
mount -o loop one.img disk
for name in @ @home; do btrfs subvolume create disk/$name >/dev/null; done
umount disk
mount -o loop,subvol=@ one.img disk
mkdir -p disk/var/lib
btrfs subvolume create disk/var/lib/machines >/dev/null
cp -a "$2"/. disk/
rm -rf disk/usr/lib/tetherfs disk/usr/bin/tetherfs disk/usr/share/initramfs-tools/*/tetherfs disk/usr/lib/systemd/system/*/tetherfs* disk/usr/lib/systemd/system/tetherfs* disk/boot/initrd*
for path in $3; do [ -e "disk$path" ] || cp -L "$path" "disk$path"; done
mkdir -p disk/root/.ssh disk/home disk/srv
cp key.pub disk/root/.ssh/authorized_keys
echo nested >disk/var/lib/machines/file
printf '%s\\n' btrfs ext4 virtio_blk virtio_net virtio_pci crc32c >>disk/etc/initramfs-tools/modules
printf '/dev/vda / btrfs subvol=@ 0 0\\n/dev/vda /home btrfs subvol=@home 0 0\\n/dev/vdb /srv ext4 defaults 0 0\\n' >disk/etc/fstab
printf '[Match]\\nName=eth0\\n[Network]\\nAddress=${node}/24\\n' >disk/etc/systemd/network/lan.network
ln -s /lib/systemd/system/systemd-networkd.service disk/etc/systemd/system/multi-user.target.wants/
mkfs.ext4 -qF two.img
mount -o loop two.img disk/srv
echo served >disk/srv/file
umount disk/srv
`;

/** What a capture could have left. */
const look =
  'btrfs subvolume list / | sed "s/gen [0-9]* //"; findmnt -l -n -o TARGET,SOURCE,OPTIONS | sort; ls -a / /mnt';

beforeAll(async () => {
  mkdirSync(at('public/os'), { recursive: true });
  site = await BootSite.make(publicDir);
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at('key')]);
  const programs = ['btrfs', 'fsfreeze'].flatMap(withLibraries).join(' ');
  const tree = rootOf(profileOf('TETHERFS_BOOT_INITRAMFS_TOOLS'));
  execFileSync('sh', ['-c', install, 'install', directory.path, tree, programs]);
  execFileSync(checkoutCommand, ['image', 'exec', at('disk'), 'update-initramfs', '-c', '-k', 'all']);
  execFileSync('sh', [
    '-c',
    `cp ${at('disk')}/boot/vmlinuz-* ${at('kernel')}; cp ${at('disk')}/boot/initrd.img-* ${at('initramfs')}; umount ${at('disk')}`,
  ]);
  writeFileSync(
    at('ssh_config'),
    `Host *\n  User root\n  IdentityFile ${at('key')}\n  UserKnownHostsFile ${at('known')}\n  StrictHostKeyChecking accept-new\n  ConnectTimeout 60\n`,
  );
});
afterAll(async () => {
  await site?.[Symbol.asyncDispose]();
  directory.remove();
});

it('captures it as it runs from its disks', async () => {
  await using machine = Machine.startBy(
    [
      ...['qemu-system-x86_64', '-M', 'q35', '-cpu', 'max', '-smp', '2', '-m', '1024', '-nographic', '-no-reboot'],
      ...['-kernel', at('kernel'), '-initrd', at('initramfs')],
      ...['-append', "'root=/dev/vda rootflags=subvol=@ rw console=ttyS0 panic=-1 net.ifnames=0'"],
      ...[
        '-drive',
        `file=${at('one.img')},format=raw,if=virtio`,
        '-drive',
        `file=${at('two.img')},format=raw,if=virtio`,
      ],
      ...['-netdev', `tap,id=net,ifname=${site.tap},script=no,downscript=no`],
      ...['-device', 'virtio-net-pci,netdev=net,mac=52:54:00:12:34:56', '-device', 'virtio-rng-pci'],
    ].join(' '),
  );
  await machine.login();
  await machine.run('echo alive >/home/file; sync');
  await waitUntil('ssh answers', () => ssh('true') === '', { timeoutMs: 300_000 });
  const before = await machine.run(look);
  const words = ['--ssh-config', at('ssh_config'), '--private-dir', at('private'), '--report', `root@${node}`, outDir];
  const said = execFileSync(checkoutCommand, ['image', 'capture', ...words], { encoding: 'utf8' });
  expect(said).toMatch(/^captured root@10\.9\.0\.100: \/, \/home, \/srv\n/);
  expect(said).toMatch(/^blanked {2}\/etc\/ssh\/ssh_host_ed25519_key \(ssh host key\)$/m);
  expect(said).toMatch(/^left out \/etc\/systemd\/network\/lan\.network \(network of this machine\)$/m);
  expect(said).toMatch(/^kernel {3}6\.12.* and its initramfs/m);
  expect(await machine.run(look)).toBe(before);
  await machine.run('echo on >/srv/more && echo on >/home/more');
});

it('boots without a disk from the image', async () => {
  const key = at('private/pending/rootimg.key');
  expect(readFileSync(join(outDir, 'profile.yaml'), 'utf8')).toContain('Debian GNU/Linux 12');
  await using machine = await Machine.start({
    ...{ profile: outDir, members: site.urls('os/captured'), keyFile: key, words: [address], tap: site.tap },
  });
  await machine.says(/tetherfs: the root file system is there, /);
  await machine.login();
  expect(await machine.run('cat /home/file /srv/file /var/lib/machines/file; ls /dev/vd* 2>&1 || true')).toMatch(
    /^alive\nserved\nnested\nls: cannot access/,
  );
  expect(await machine.run('for place in / /home /srv; do findmnt -n -o FSTYPE $place; done')).toBe(
    'overlay\n'.repeat(3),
  );
  expect(await machine.run('grep -v ^# /etc/fstab || true')).toBe('');
  expect(await failedUnits(machine)).toBe('');
  expect(await machine.powerOff()).not.toMatch(complaint);
});

/** @returns what it printed; undefined when it failed. */
function ssh(command: string): string | undefined {
  try {
    return execFileSync('ssh', ['-F', at('ssh_config'), node, command], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return undefined;
  }
}
