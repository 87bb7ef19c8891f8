/** `tetherfs image capture`: a running machine becomes an image. */
import { posix } from 'node:path';
import { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { runProgram } from '../base/program.ts';
import type { Compression } from '../imgutil/mksquashfs.ts';
import { loadBinding } from '../native/binding.ts';
import { blockSizeOption, compressionOption } from './image-options.ts';
import { interruption } from './interruption.ts';
import { progressBar } from './progress-bar.ts';
import { collect } from './repeated-option.ts';

interface CaptureFlags {
  single: boolean;
  without: string[];
  keep: string[];
  freeze: boolean;
  privateDir?: string;
  tree?: string;
  compression: Compression;
  blockSize: number;
  baseProfile?: string;
  encrypt: boolean;
  report: boolean;
  runtime?: string;
  sshConfig?: string;
  verbose: boolean;
}

/** So many of the files that changed are named. */
const changesShown = 3;

export function imageCaptureCommand(): Command {
  return new Command('capture')
    .description('make the image of a running machine, over ssh')
    .argument('<node>', '[USER@]HOST of the machine, for ssh: its root')
    .argument('<profile>', 'public directory that gets the image, or a name in the tree')
    .option('--single', 'make an ordinary image of all its file systems, not one that tells them apart', false)
    .option('--without <dir>', 'capture nothing of what is in this directory (may be repeated)', collect, [])
    .option('--keep <path>', 'capture this file as it is: /etc/munge/munge.key, say (may be repeated)', collect, [])
    .option('--no-freeze', 'let it write to file systems while they are read, and make no snapshots of btrfs')
    .option('--private-dir <dir>', "gets the key (default: confluent's private/os/NAME, else PROFILE.private)")
    .option('--tree <dir>', "confluent's tree (default: /var/lib/confluent)")
    .addOption(compressionOption())
    .addOption(blockSizeOption())
    .option('-b, --base-profile <profile>', 'a name or directory: the new profile has all from there that it lacks')
    .option('--no-encrypt', 'leave the image in clear and make no key')
    .option('--report', 'name each file that is blanked because each machine has its own', false)
    .option('--runtime <file>', 'what npm run build:runtime makes (default: build/runtime.sfs of the checkout)')
    .option('--ssh-config <file>', "ssh's configuration (its -F)")
    .option('--verbose', 'show all that the tools say', false)
    .addHelpText(
      'after',
      `
What is on disks of the machine (ext2 to ext4, xfs, btrfs with its subvolumes, vfat) is read there, and sent; nothing is stored there. What no other machine may have never leaves it: host
keys, password hashes, keys, tokens, histories, its network settings; docs/images.md has the list. File systems that the machine can do without for a while are frozen while they are
read: whoever writes to one waits until it has been read. Of btrfs a snapshot is read, and removed. The others, / and /var among them, are read while they change.

Here the tree is prepared for diskless nodes, as by 'image prepare', and its own tool makes the initramfs, in a container: capture machines that you trust as you trust packages. Lines of
/etc/fstab that name disks become comments. The private directory needs room for the tree and for the image.

The image tells the file systems apart, in confluent's form, unless --single is given. Nodes boot either.

Exit status: 0 done, 1 not: there and here all is as it was; 2 wrong usage.

Examples:
  tetherfs image capture root@n1 demo
  tetherfs image capture --single --without /scratch --keep /etc/munge/munge.key n1 /srv/www/os/demo`,
    )
    .action(async (node: string, profile: string, flags: CaptureFlags) => {
      const { capture } = await import('../imgutil/capture/index.ts');
      const { confluentTree, profileDirectory } = await import('../imgutil/private-place.ts');
      const { parseLogin } = await import('../imgutil/remote-member.ts');
      const { reportPacked } = await import('./packed-report.ts');
      const say = (line: string) => void process.stderr.write(`tetherfs: ${line}\n`);
      const outDir = profileDirectory(profile, flags.tree ?? confluentTree);
      const [receiving, packing, writing] = [progressBar('reading'), progressBar('packing'), progressBar('writing')];
      const clear = () => {
        for (const bar of [receiving, packing, writing]) bar.clear();
      };
      const captured = await capture(
        {
          ...{ login: parseLogin(node), sshConfig: flags.sshConfig, run: runProgram },
          ...{ single: flags.single, without: flags.without.map(directoryThere), freeze: flags.freeze },
          ...{ outDir, privateDir: flags.privateDir, tree: flags.tree, baseProfile: flags.baseProfile },
          ...{ compression: flags.compression, verityBlockSize: flags.blockSize, keep: flags.keep },
          ...{ xts: flags.encrypt ? loadBinding().xts : undefined, runtime: flags.runtime },
          ...(process.stderr.isTTY && {
            onRead: (bytes: number, totalBytes: number) => packing.update({ bytes, totalBytes }),
          }),
          onProgress(bytes, totalBytes) {
            packing.clear();
            writing.update({ bytes, totalBytes });
          },
        },
        {
          onStep(step) {
            clear();
            say(step);
          },
          onLine(line) {
            if (flags.verbose) process.stderr.write(`${line}\n`);
          },
          onWarning: say,
          onLeftover: (path) => say(`removed what a killed run had left: ${path}`),
          onReceived: (bytes, totalBytes) => receiving.update({ bytes, totalBytes }),
          signal: interruption(),
        },
      ).finally(clear);
      const { changed, mountPoints } = captured;
      const more = changed.length > changesShown ? `, and ${changed.length - changesShown} more` : '';
      if (changed.length > 0) say(`changed there meanwhile: ${changed.slice(0, changesShown).join(', ')}${more}`);
      process.stdout.write(`captured ${node}: ${mountPoints.join(', ')}${flags.single ? ', as one' : ''}\n`);
      reportPacked(captured, outDir, flags.report);
    });
}

/** @throws UsageError */
function directoryThere(given: string): string {
  if (!/^\/+[^/]/.test(given)) throw new UsageError(`--without ${given}: give the whole path of a directory`);
  return posix.normalize(given).replace(/\/+$/, '');
}
