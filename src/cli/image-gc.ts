/** `tetherfs image gc`: removes images that no running node holds. */
import { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { type ImageDigest, parseDigest } from '../image/digest.ts';
import { accessLogOption, keepForOption } from './image-options.ts';
import { collect } from './repeated-option.ts';

interface GcFlags {
  accessLog: string[];
  keepFor: number;
  keep: string[];
  dryRun: boolean;
  privateDir?: string;
}

export function imageGcCommand(): Command {
  return new Command('gc')
    .description('remove images from a public directory that no running node holds, and nothing else')
    .argument('<directory>', 'public directory, with rootimg.sfs in it')
    .addOption(accessLogOption())
    .addOption(keepForOption())
    .option('--keep <digest>', 'keep this image in any case; again for each', collect, [])
    .option('--private-dir <dir>', "the one that was given to 'image pack', if any")
    .option('--dry-run', 'only say what would be removed', false)
    .addHelpText(
      'after',
      `
To be run on every member, for its own directory. How it knows: a running node asks each of its members for its image at least every
75 minutes, so the access logs name every image in use. An image rootimg-DIGEST.sfs is removed, with its key and what else belongs to it, only if
rootimg.sfs does not point at it and did not within --keep-for, it has been here for longer than that, the logs cover all that time,
and no line in it names the digest. The logs are to be in the common or combined format; rotated ones beside them (FILE.1, FILE.2.gz,
FILE-20261122.gz) are read too. When the logs leave a doubt, nothing is removed.

A node that does not run, was cut off from this member, or has the whole image in RAM leaves no trace in the logs: give --keep what such
nodes shall find again.

One line an image: kept or removed, and why. Exit status: 0 done, 1 nothing was removed because of doubts or a failure, 2 wrong usage.

Examples:
  tetherfs image gc --dry-run --access-log /var/log/nginx/access.log /var/lib/confluent/public/os/demo
  tetherfs image gc --keep-for 2w --access-log /var/log/httpd/access_log --access-log /var/log/httpd/ssl_access_log \\
      /var/lib/confluent/public/os/demo`,
    )
    .action(async (directory: string, flags: GcFlags) => {
      if (flags.accessLog.length === 0) {
        throw new UsageError('name the access logs of the server on this machine: --access-log FILE');
      }
      const keep: ImageDigest[] = flags.keep.map(parseDigest);
      const { GcDoubtError, GcError } = await import('../imgutil/errors.ts');
      const { collectGarbage } = await import('../imgutil/image-gc.ts');
      const { PrivateFiles } = await import('../imgutil/private-files.ts');
      const { images, unparsable, doubts, failures } = await collectGarbage({
        directory,
        privateFiles: await PrivateFiles.besides(directory, flags).catch(() => undefined),
        accessLogs: flags.accessLog,
        keepForMs: flags.keepFor,
        keep,
        dryRun: flags.dryRun,
        now: Date.now(),
      });
      for (const { digest, size, removed, why } of images) {
        const verdict = removed ? (flags.dryRun ? 'would remove' : 'removed') : 'kept';
        process.stdout.write(`${verdict} ${digest} (${(size / 2 ** 20).toFixed(1)} MiB): ${why}\n`);
      }
      for (const [log, lines] of unparsable) {
        const what = lines === 1 ? '1 line is' : `${lines} lines are`;
        process.stderr.write(`tetherfs: ${log}: ${what} in neither the common nor the combined format\n`);
      }
      if (doubts.length > 0) throw new GcDoubtError(doubts);
      if (failures.length > 0) throw new GcError(failures);
    });
}
