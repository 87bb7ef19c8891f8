/** `tetherfs image pack`: a directory becomes an image that members can serve. */
import { Command } from 'commander';
import type { Compression } from '../imgutil/mksquashfs.ts';
import { loadBinding } from '../native/binding.ts';
import { blockSizeOption, compressionOption } from './image-options.ts';
import { interruption } from './interruption.ts';
import { progressBar } from './progress-bar.ts';
import { collect } from './repeated-option.ts';

interface PackFlags {
  privateDir?: string;
  compression: Compression;
  blockSize: number;
  encrypt: boolean;
  includeMounts: boolean;
  bootOrder?: string;
  keep: string[];
  kernel?: string;
  baseProfile?: string;
  report: boolean;
}

export function imagePackCommand(): Command {
  return new Command('pack')
    .description(
      'pack a root filesystem into OUT_DIR/rootimg-DIGEST.sfs with its fs-verity sidecar, what nodes boot it with, and a key elsewhere',
    )
    .argument('<dir>', 'tree that becomes the root directory of the image')
    .argument('<out-dir>', 'public directory, the one that is served')
    .option(
      '--private-dir <dir>',
      "gets pending/rootimg.key (default: confluent's private/os/NAME, else OUT_DIR.private)",
    )
    .addOption(compressionOption())
    .addOption(blockSizeOption())
    .option('--boot-order <file>', 'pack what is in it first: a trace, or a path a line; none: in no order')
    .option('--include-mounts', 'pack other file systems that are mounted in the tree, too', false)
    .option(
      '--keep <path>',
      'pack this file as it is, though each machine has its own of it: /etc/shadow, say (may be repeated)',
      collect,
      [],
    )
    .option('--kernel <version>', 'the kernel that nodes boot (default: the newest of the tree)')
    .option('-b, --base-profile <profile>', 'a name or directory: the new profile has all from there that it lacks')
    .option('--report', 'name each file that is blanked because each machine has its own', false)
    .option('--no-encrypt', 'leave the image in clear and make no key')
    .addHelpText(
      'after',
      `
rootimg.sfs becomes a symbolic link to the new image when that is complete. Images that are there stay: nodes that were mounted with
--digest go on reading theirs. tetherfs image gc removes those that nobody holds any more. Do not write into rootimg.sfs by other means
(cp, confluent's imgutil pack): that would go through the link and damage the image; nodes with --digest refuse it then.

What a boot reads is packed first, in the order of the boot, so that it comes as one run of bytes: by default as the image that is replaced was
last booted (tetherfs trace publish), else by --boot-order. The new image gets a trace of the same files.

Kernel, initramfs and bootloaders of the tree go into OUT_DIR/boot, and a profile.yaml beside it when there is none. What each machine has of its own (ssh host
keys, machine-id, password hashes, API keys, network secrets) is blank in the image, not in the tree: docs/profile.md.

What is mounted inside DIR is left out, and named: its mountpoint is an empty directory in the image.

The key file is that of the newest image. SOURCE_DATE_EPOCH makes the squashfs reproducible; the key is always new.
POSIX ACLs are not kept: squashfs has no place for them.

Examples:
  tetherfs image pack /srv/trees/demo /var/lib/confluent/public/os/demo
  tetherfs image pack --private-dir /srv/keys/demo --compression xz /srv/trees/demo /srv/www/os/demo`,
    )
    .action(async (sourceDir: string, outDir: string, flags: PackFlags) => {
      const { pack } = await import('../imgutil/pack.ts');
      const { reportPacked } = await import('./packed-report.ts');
      const signal = interruption();
      const packing = progressBar('packing');
      const writing = progressBar('writing rootimg.sfs');
      const packed = await pack({
        sourceDir,
        outDir,
        privateDir: flags.privateDir,
        compression: flags.compression,
        verityBlockSize: flags.blockSize,
        xts: flags.encrypt ? loadBinding().xts : undefined,
        includeMounts: flags.includeMounts,
        bootOrder: flags.bootOrder,
        keep: flags.keep,
        kernel: flags.kernel,
        baseProfile: flags.baseProfile,
        onLeftover: (path) => process.stderr.write(`tetherfs: removed what a killed pack had left: ${path}\n`),
        ...(process.stderr.isTTY && {
          onRead: (bytes: number, totalBytes: number) => packing.update({ bytes, totalBytes }),
        }),
        onProgress(bytes, totalBytes) {
          packing.clear();
          writing.update({ bytes, totalBytes });
        },
        signal,
      }).finally(() => {
        packing.clear();
        writing.clear();
      });
      reportPacked(packed, outDir, flags.report);
    });
}
