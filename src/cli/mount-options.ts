/** The options of `tetherfs mount`, as the command line spells them. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../base/errors.ts';
import { logFormats, logLevels } from '../base/log.ts';
import { controlPathOf } from '../mount/control-path.ts';
import { defaults, type MountOptions, mountOptionsSchema, outageModes } from '../mount/options.ts';
import { parseSize } from '../mount/size.ts';

export function addMountOptions(command: Command): Command {
  return command
    .option('--ca-file <pem>', "authorities that sign the members' certificates (default: the system's)")
    .option('--key-file <file>', 'key of the image: shows the decrypted squashfs instead of the encrypted file')
    .option('--digest <sha256:hex>', 'fs-verity digest of the image: every chunk is verified before anyone sees it')
    .option('--allow-unverified', 'allow http:// members without --digest', false)
    .option('--cache-size <size>', 'hard size of the chunk cache, e.g. 64MiB', defaults.cacheSize)
    .addOption(
      new Option('--on-outage <mode>', 'reads while no member is usable: wait, or fail with EIO')
        .choices(outageModes)
        .default('wait'),
    )
    .option('--outage-timeout <seconds>', 'with --on-outage eio: fail reads after', seconds, defaults.outageTimeout)
    .option('--mount-timeout <seconds>', 'give up when no member is usable; 0 = never', seconds, defaults.mountTimeout)
    .option('--control <socket>', 'control socket (default: /run/tetherfs/<mountpoint>.sock)')
    .option('--metrics <address>', 'serve Prometheus metrics on ADDRESS:PORT or unix:/PATH')
    .addOption(new Option('--log-level <level>').choices(logLevels).default('info'))
    .addOption(new Option('--log-format <format>').choices(logFormats).default('text'));
}

/** @throws UsageError when a value makes no sense. */
export function readMountOptions(urls: string[], mountpoint: string, flags: Record<string, unknown>): MountOptions {
  const parsed = mountOptionsSchema.safeParse({
    control: controlPathOf(mountpoint),
    ...flags,
    urls,
    mountpoint,
    cacheSize: parseSize(String(flags['cacheSize']), '--cache-size'),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(`${issue?.path.join('.')}: ${issue?.message}`);
}

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError('Give seconds, e.g. 30.');
  return value;
}
