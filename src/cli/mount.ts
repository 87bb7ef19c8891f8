/** `tetherfs mount`, and `urlmount`, the same under the name and with the arguments of the program it replaces. */
import { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { parseFileUrl } from '../base/file-url.ts';
import { createLog } from '../base/log.ts';
import { systemTime } from '../base/time-source.ts';
import { parseDigest } from '../image/digest.ts';
import { readFirstBytes } from '../mount/first-bytes.ts';
import { stderrSink } from '../mount/log-sink.ts';
import type { MountOptions } from '../mount/options.ts';
import { progressLog } from '../mount/progress-log.ts';
import { startMount } from '../mount/start-mount.ts';
import { loadBinding } from '../native/binding.ts';
import { interruption } from './interruption.ts';
import { addMountOptions, insistOnUrls, readMountOptions } from './mount-options.ts';
import { progressBar } from './progress-bar.ts';

export function mountCommand(version: string): Command {
  return addMountOptions(new Command('mount'))
    .description('show the image that the members serve as one read-only file in MOUNTPOINT')
    .argument('<url-and-mountpoint...>', 'URL of the image on each member, then the directory to mount on')
    .option('--foreground', 'stay in the foreground and log to standard error', false)
    .usage('[options] URL... MOUNTPOINT')
    .addHelpText(
      'after',
      `
Returns 0 once the first bytes have been read through the mount; the daemon then lives in the background, and its log is the kernel's (dmesg;
of a user that is not root it has none: --foreground).

Examples:
  tetherfs mount --digest sha256:1f0c… http://10.0.0.1/confluent-public/os/demo/rootimg.sfs \\
      http://10.0.0.2/confluent-public/os/demo/rootimg.sfs /mnt/remoteimg
  tetherfs mount --ca-file ca.pem --key-file rootimg.key https://mgr/confluent-public/os/demo/rootimg.sfs /mnt/remoteimg
  mount -o loop,ro /mnt/remoteimg/rootimg.sfs /mnt/root
  tetherfs mount --digest sha256:1f0c… --profile http://10.0.0.1/confluent-public/os/demo/profile.yaml \\
      http://10.0.0.1/confluent-public/os/demo/rootimg.sfs /mnt/remoteimg`,
    )
    .action(async (words: string[], flags: Record<string, unknown>) => {
      const readOptions = () => readCommandLine(words, flags);
      if (flags['foreground'] === true) process.exitCode = await mountInForeground(readOptions, version);
      else await mountInBackground(readOptions());
    });
}

/** @throws UsageError */
function readCommandLine(words: string[], flags: Record<string, unknown>): MountOptions {
  // Perhaps it has swallowed a word.
  if (typeof flags['digest'] === 'string') parseDigest(flags['digest']);
  const mountpoint = words.pop();
  if (mountpoint === undefined || (words.length === 0 && flags['membersFrom'] === undefined)) {
    throw new UsageError(
      'give at least one URL and then the MOUNTPOINT: tetherfs mount URL... MOUNTPOINT (or --members-from FILE MOUNTPOINT)',
    );
  }
  return readMountOptions(words, mountpoint, flags);
}

/** One pass over the members must fail within the patience of the boot script, which retries by itself. Seconds. */
const urlmountTimeout = 15;

export function urlmountCommand(): Command {
  return new Command('urlmount')
    .description('drop-in for confluent’s urlmount: urlmount URL... MOUNTPOINT')
    .argument('<url-and-mountpoint...>', 'URLs (every word with a colon) and the directory to mount on')
    .allowUnknownOption()
    .helpOption('-h, --help')
    .action(async (words: string[]) => {
      const urls = words.filter((word) => word.includes(':'));
      insistOnUrls(urls, 'for options there is tetherfs mount');
      const mountpoint = words.findLast((word) => !word.includes(':') && !word.startsWith('-'));
      if (urls.length === 0 || mountpoint === undefined) throw new UsageError('usage: urlmount URL... MOUNTPOINT');
      const defaultFlags = addMountOptions(new Command()).opts();
      await mountInBackground(
        readMountOptions(urls, mountpoint, {
          ...defaultFlags,
          allowUnverified: true,
          mountTimeout: urlmountTimeout,
          // confluent's boot script calls it for tethered nodes alone, and copies the image itself for others.
          imageMethod: 'tethered',
        }),
      );
    });
}

/** Returns when the first bytes have been read. @throws TetherfsError */
export async function mountInBackground(options: MountOptions): Promise<void> {
  const bar = progressBar(`pulling ${parseFileUrl(options.urls[0]).fileName}`);
  const showLine = (line: string) => {
    bar.clear();
    process.stderr.write(`${line}\n`);
  };
  try {
    await startMount(options, {
      signal: interruption(),
      onLog: showLine,
      onProgress: (progress) => bar.update(progress),
      onWaiting: (line) => showLine(`tetherfs: ${line}`),
    });
  } finally {
    bar.clear();
  }
}

/** @param readOptions is asked when there is no mount to go on with: what it names may have gone since that was made. */
async function mountInForeground(readOptions: () => MountOptions, version: string): Promise<number> {
  const startedAt = performance.now();
  const signal = interruption();
  // Until the daemon knows what to do about it.
  process.on('SIGHUP', () => {});
  loadBinding().shedLimits();
  const { runDaemon } = await import('../mount/run.ts');
  const { inheritFromManager } = await import('../mount/succession.ts');
  const inheritance = inheritFromManager();
  const options = inheritance?.state.options ?? readOptions();
  const { logLevel, logFormat } = options;
  const log = createLog({ level: logLevel, format: logFormat, sink: stderrSink() });
  const onProgress = progressLog(log, systemTime);
  if (inheritance !== undefined) {
    log.info('going on with a mount whose daemon died', { mountpoint: options.mountpoint });
    return runDaemon({ options, inheritance, version, log, onProgress }, () => {});
  }
  return runDaemon({ options, version, log, onProgress }, () =>
    readFirstBytes({
      options,
      fileName: parseFileUrl(options.urls[0]).fileName,
      startedAt,
      signal,
      onWaiting: (line) => log.warn(line),
    }),
  );
}
