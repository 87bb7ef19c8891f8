/** The options of `tetherfs mount`, as the command line spells them. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { core } from 'zod';
import { UsageError } from '../base/errors.ts';
import { type FileUrl, isFileUrl, parseFileUrl, shownUrl } from '../base/file-url.ts';
import { readGivenFile } from '../base/given-file.ts';
import { logFormats, logLevels } from '../base/log.ts';
import { parseSize } from '../base/size.ts';
import { freeControlPathOf, givenControlPath, givenSocketPath } from '../mount/control-path.ts';
import { absolutePath } from '../mount/given-file.ts';
import { canonicalPath } from '../mount/mount-table.ts';
import {
  defaults,
  imageMethods,
  type MountOptions,
  mountOptionsSchema,
  outageModes,
  pageCaches,
  transports,
} from '../mount/options.ts';
import { largestMembersFile, membersOfFile } from '../profile/index.ts';

export function addMountOptions(command: Command): Command {
  return command
    .option(
      '--ca-file <pem>',
      "certificates to trust: authorities, also intermediate ones, or members' own (default: the system's)",
    )
    .option('--ca-dir <directory>', 'the same of every file in it, with --ca-file or in its place')
    .option(
      '--members-from <file>',
      'further members: a URL a line, or confluent.info; read again on SIGHUP and by tetherfs members reload',
    )
    .option('--key-file <file>', 'key of the image: shows the decrypted squashfs instead of the encrypted file')
    .option('--digest <sha256:hex>', 'fs-verity digest of the image: every chunk is verified before anyone sees it')
    .option('--allow-unverified', 'allow http:// members without --digest', false)
    .addOption(
      new Option(
        '--image-method <method>',
        'tethered: fetch what is read; untethered: pull all of it into RAM first; progressive: tethered at once, untethered as soon as it can (default: what the profile says, or tethered)',
      ).choices(imageMethods),
    )
    .option(
      '--profile <url|file>',
      'profile.yaml whose kernelargs say the image method (default: the kernel command line)',
    )
    .option('--background-rate <size>', 'progressive: bytes a second at most behind the reads, e.g. 20MiB')
    .option('--trace <file>', 'get in advance what this trace of an earlier boot lists (default: what members offer)')
    .option('--no-trace', 'get nothing in advance but what sequential readers will want')
    .addOption(
      new Option(
        '--page-cache <mode>',
        "the file's pages in the kernel: keep them, drop them when the readers rest, or have none",
      )
        .choices(pageCaches)
        .default(defaults.pageCache),
    )
    .addOption(
      new Option(
        '--transport <name>',
        'kernel: needs root, for everything; libfuse: also without root, through libfuse 2 (docs/transports.md)',
      )
        .choices(transports)
        .default(defaults.transport),
    )
    .option('--cache-size <size>', 'hard size of the chunk cache, e.g. 64MiB', defaults.cacheSize)
    .option('--idle-cache-size <size>', 'what is left of it when the readers rest', defaults.idleCacheSize)
    .option('--idle-time <seconds>', 'they rest when they have read next to nothing for', seconds, defaults.idleTime)
    .addOption(
      new Option(
        '--on-outage <mode>',
        'reads while no member is usable: wait, or fail with EIO (not below a root: squashfs remembers it)',
      )
        .choices(outageModes)
        .default(defaults.onOutage),
    )
    .option('--outage-timeout <seconds>', 'with --on-outage eio: fail reads after', seconds, defaults.outageTimeout)
    .option(
      '--mount-timeout <seconds>',
      'give up when no member is usable, at once when none will ever be; 0 = never',
      seconds,
      defaults.mountTimeout,
    )
    .option('--control <socket>', 'control socket (default: /run/tetherfs/<mountpoint>.sock)')
    .option('--metrics <address>', 'serve Prometheus metrics on ADDRESS:PORT or unix:/PATH')
    .addOption(new Option('--log-level <level>').choices(logLevels).default(defaults.logLevel))
    .addOption(new Option('--log-format <format>').choices(logFormats).default(defaults.logFormat));
}

/**
 * Paths are absolute afterwards: the daemon runs in `/`. The mountpoint has the name that the kernel's list of mounts has.
 * @throws UsageError when a value makes no sense.
 */
export function readMountOptions(urls: string[], given: string, flags: Record<string, unknown>): MountOptions {
  insistOnUrls(urls, 'the MOUNTPOINT comes last, after all of them');
  const [firstGiven] = urls.map(parseFileUrl);
  const membersFrom = readMembers(flags, urls, firstGiven);
  if (isFileUrl(given)) throw new UsageError('the MOUNTPOINT is missing: give it after the URLs');
  const mountpoint = canonicalPath(absolutePath(given, 'the MOUNTPOINT'));
  if (mountpoint === '/') throw new UsageError('cannot mount on /: give a directory in it');
  const { control, profile, trace, metrics } = flags;
  const parsed = mountOptionsSchema.safeParse({
    ...flags,
    urls: [...new Set([...urls, ...(membersFrom?.urls ?? [])])],
    membersFrom,
    mountpoint,
    control: typeof control === 'string' ? givenControlPath(control) : freeControlPathOf(mountpoint),
    caFile: file(flags, 'caFile'),
    caDir: file(flags, 'caDir'),
    keyFile: file(flags, 'keyFile'),
    profile: typeof profile === 'string' && isFileUrl(profile) ? profile : file(flags, 'profile'),
    trace: trace === true ? undefined : file(flags, 'trace'),
    metrics: typeof metrics === 'string' ? metricsAddress(metrics) : metrics,
    cacheSize: parseSize(String(flags['cacheSize']), '--cache-size'),
    idleCacheSize: parseSize(String(flags['idleCacheSize']), '--idle-cache-size'),
    backgroundRate: parseRate(flags['backgroundRate']),
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const option = optionOf(issue?.path.join('.') ?? '');
  const value = flags[String(issue?.path[0])];
  throw new UsageError(`${option}${value === undefined ? '' : ` ${value}`}: ${describeIssue(issue)}`);
}

/** @param hint what else a word that is none may be meant as. @throws UsageError */
export function insistOnUrls(words: readonly string[], hint: string): void {
  const stranger = words.find((word) => !isFileUrl(word));
  if (stranger !== undefined) throw new UsageError(`${shownUrl(stranger)}: not an http:// or https:// URL; ${hint}`);
}

/** `cacheSize` is given as `--cache-size`. */
function optionOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function describeIssue(issue: core.$ZodIssue | undefined): string {
  if (issue?.code === 'too_small') return `give ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
  if (issue?.code === 'too_big') return `give ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
  return issue?.message ?? 'makes no sense';
}

/** Bytes a second of `--background-rate`; undefined when it was not given. @throws UsageError */
export function parseRate(given: unknown): number | undefined {
  return given === undefined ? undefined : parseSize(String(given), '--background-rate');
}

/** Those that only the file of `--members-from` names, as it is now. @throws UsageError */
function readMembers(
  flags: Record<string, unknown>,
  urls: readonly string[],
  like: FileUrl | undefined,
): MountOptions['membersFrom'] {
  const path = file(flags, 'membersFrom');
  if (typeof path !== 'string') return undefined;
  const text = readGivenFile(path, '--members-from', largestMembersFile).toString('utf8');
  return { file: path, urls: membersOfFile(text, { path, like }).filter((url) => !urls.includes(url)) };
}

/** The file that a flag names; whatever else it holds stays as it is. */
function file(
  flags: Record<string, unknown>,
  name: 'caFile' | 'caDir' | 'membersFrom' | 'keyFile' | 'profile' | 'trace',
): unknown {
  const given = flags[name];
  if (typeof given !== 'string') return given;
  const option = optionOf(name);
  if (flags['foreground'] !== true && /^\/(dev\/(fd\/|std)|proc\/(self|thread-self)\/)/.test(given)) {
    throw new UsageError(`${option} ${given}: the daemon has nothing that the caller has open; give a file`);
  }
  return absolutePath(given, option);
}

function metricsAddress(given: string): string {
  if (!given.startsWith('unix:')) return given;
  return `unix:${givenSocketPath(given.slice('unix:'.length), '--metrics unix:')}`;
}

function seconds(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError('Give seconds, e.g. 30.');
  return value;
}
