/**
 * `mount.tetherfs`: what mount(8) calls for `mount -t tetherfs` and for a line of fstab. Its options are those of `tetherfs mount`, without the dashes.
 */
import { Command } from 'commander';
import { describeError, TetherfsError, UsageError } from '../base/errors.ts';
import { parseDigest } from '../image/digest.ts';
import { mountInBackground } from './mount.ts';
import { addMountOptions, insistOnUrls, readMountOptions } from './mount-options.ts';

/** Of mount(8): for mount itself, for systemd, for people; the file system is read-only whatever they say. */
const others =
  /^(defaults|ro|rw|(no)?(auto|suid|dev|exec|atime|diratime|relatime|strictatime|lazytime|mand|iversion|user|users|owner|group|fail)|nofail|a?sync|dirsync|silent|loud|_netdev|([xX]-|comment=|helper=|uhelper=).*)$/;

/** Exit statuses of mount(8). */
const wrongUsage = 1;
const mountFailed = 32;

interface HelperFlags {
  o: string[];
  f: boolean;
  s: boolean;
}

export function mountHelperCommand(): Command {
  return new Command('mount.tetherfs')
    .description('mount(8)’s helper: mount.tetherfs URL[,URL...] MOUNTPOINT [-o OPTION[,OPTION...]]')
    .argument('<urls>', 'URL of the image on each member, with commas between; "none" with members-from=FILE')
    .argument('<mountpoint>')
    .option('-o <options>', 'those of tetherfs mount without the dashes, with commas between', collect, [])
    .option('-f', 'do everything but mount', false)
    .option('-s', 'pass over options that are not known', false)
    .option('-n', 'for mount(8)')
    .option('-v', 'for mount(8)')
    .option('-t <type>', 'for mount(8)')
    .option('-N <namespace>', 'for mount(8)')
    .addHelpText(
      'after',
      `
A line of /etc/fstab:
  http://10.0.0.1/os/demo/rootimg.sfs,http://10.0.0.2/os/demo/rootimg.sfs /mnt/remoteimg tetherfs _netdev,digest=sha256:1f0c…,key-file=/etc/tetherfs/demo.key 0 0

Exit status: 0 mounted, 1 wrong usage, 32 it cannot be mounted.`,
    )
    .action(async (urls: string, mountpoint: string, flags: HelperFlags) => {
      try {
        const given = parseOptions(flags);
        if (typeof given['digest'] === 'string') parseDigest(given['digest']);
        if (urls === 'none' && given['membersFrom'] === undefined) {
          throw new UsageError('where is the image? Give URLs in the place of "none", or the option members-from=FILE');
        }
        const options = readMountOptions(memberUrls(urls), mountpoint, given);
        if (!flags.f) await mountInBackground(options);
      } catch (cause) {
        if (!(cause instanceof TetherfsError)) throw cause;
        const exitStatus = cause.exitStatus === 2 ? wrongUsage : mountFailed;
        throw new TetherfsError(cause.code, cause.message, { cause, exitStatus });
      }
    });
}

function collect(given: string, before: string[]): string[] {
  return [...before, ...given.split(',').filter((word) => word !== '')];
}

function memberUrls(given: string): string[] {
  if (given === 'none') return [];
  const urls = given.split(',').filter((url) => url !== '');
  insistOnUrls(urls, 'several stand with commas between');
  return urls;
}

/** As the command line of `tetherfs mount` gives them. @throws UsageError */
function parseOptions({ o, s: isSloppy }: HelperFlags): Record<string, unknown> {
  const command = addMountOptions(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  const words: string[] = [];
  for (const word of o) {
    if (others.test(word)) continue;
    const [name = '', value] = word.split(/=(.*)/s);
    const option = command.options.find(({ long }) => long === `--${name}`);
    if (name === 'remount') throw new UsageError('it cannot be remounted: unmount it first');
    if (option === undefined) {
      if (isSloppy) continue;
      throw new UsageError(`option ${name} is not known: tetherfs mount --help lists them, here without the dashes`);
    }
    if (option.required && value === undefined) throw new UsageError(`option ${name} needs a value: ${name}=…`);
    if (!option.required && value !== undefined) throw new UsageError(`option ${name} has no value`);
    words.push(value === undefined ? `--${name}` : `--${name}=${value}`);
  }
  try {
    return command.parse(words, { from: 'user' }).opts();
  } catch (cause) {
    throw new UsageError(describeError(cause).replace(/^error: /, ''), { cause });
  }
}
