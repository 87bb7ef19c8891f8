/** `tetherfs bench`: how quickly each member answers from here, and all together. */
import { constants } from 'node:fs';
import { access, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { describeError, UsageError } from '../base/errors.ts';
import { type FileUrl, isFileUrl, parseFileUrl, shownUrl } from '../base/file-url.ts';
import { readGivenFile } from '../base/given-file.ts';
import type { Plan } from '../measure/index.ts';
import { caDirOption, caFileOption } from './image-options.ts';
import { interruption } from './interruption.ts';
import { workBar } from './progress-bar.ts';
import { collect } from './repeated-option.ts';

/** Exit status where a member does not keep a limit. */
const brokenStatus = 3;

interface BenchFlags {
  membersFrom?: string;
  mount?: string;
  control?: string;
  caFile?: string;
  caDir?: string;
  quick: boolean;
  full: boolean;
  wide: boolean;
  json?: string;
  html?: string;
  trace?: string;
  against?: string;
  failIf: string[];
}

export function benchCommand(version: string): Command {
  return new Command('bench')
    .description('measure how quickly each member answers from here, and all of them together')
    .usage('[options] [url...]')
    .argument('[url...]', 'URL of the image on each member')
    .option('--members-from <file>', 'further members: a URL a line, or confluent.info')
    .option('--mount <mountpoint>', 'the members of this running mount')
    .option('--control <socket>', 'of --mount: ask the daemon at this control socket')
    .addOption(caFileOption())
    .addOption(caDirOption())
    .addOption(new Option('--quick', 'in seconds, with fewer samples').default(false).conflicts('full'))
    .option('--full', 'as much as the network carries, for longer: for a network that nobody else uses', false)
    .option('--wide', 'every size, depth and load, in lines of any length', false)
    .option('--json <file>', 'all figures, with histograms; - is standard output, in place of the table')
    .option('--trace <file>', 'of a boot, to be replayed (default: what the members offer)')
    .option('--html <file>', 'a page with charts, which needs no network')
    .option('--against <file>', 'compare with the JSON of an earlier run')
    .addOption(
      new Option(
        '--fail-if <name=limit>',
        'exit status 3 when a member is worse, e.g. first-byte-p99=50ms; again for each',
      )
        .default([], 'none')
        .argParser(collect),
    )
    .addHelpText(
      'after',
      `
Measured of each member: how long a connection takes, TLS included; how long ranges of 4 KiB, 128 KiB and 1 MiB at random places take to their first
and last byte, with 1, 4 and 16 asked for at once, then while 8 connections load the member; what one connection brings, and 8. Then the same of all
members together, as a mount asks them; and, where the members offer a trace, a boot replayed by all, and without each. Nothing is written anywhere, and bytes are not checked.

Harmless beside a running cluster: no more than 32 MiB without a pause, 100 Mbit/s on average. Errors of members are part of the report. Ctrl-C ends it
with what has been measured by then. docs/bench.md explains the figures and the JSON.

Limits of --fail-if: set-up, first-byte, first-byte-p90, first-byte-p99 (of 4 KiB), loaded, whole, whole-p90 (of 1 MiB), in us, ms or s; throughput,
throughput-all (of 8 connections), in MB/s or Mbit/s; errors. A member that was left out keeps none.

Exit status: 0 measured, 1 no member answered, or it was interrupted; 2 wrong usage; 3 a member is worse than --fail-if says, or does not answer.

Examples:
  tetherfs bench http://10.0.0.1/confluent-public/os/demo/rootimg.sfs http://10.0.0.2/confluent-public/os/demo/rootimg.sfs
  tetherfs bench --mount /mnt/remoteimg --wide
  tetherfs bench --members-from members --full --json before.json
  tetherfs bench --members-from members --full --against before.json
  tetherfs bench --members-from members --quick --fail-if first-byte-p90=20ms --fail-if errors=0`,
    )
    .action(async (words: string[], flags: BenchFlags) => {
      const urls = await membersOf(words, flags);
      const measuring = await import('../measure/index.ts');
      const { authoritiesFor } = await import('../members/index.ts');
      const limits = flags.failIf.map(measuring.parseLimit);
      const earlier = flags.against === undefined ? undefined : measuring.readReport(flags.against, '--against');
      const trace = flags.trace === undefined ? undefined : measuring.givenTrace(flags.trace);
      const ca = authoritiesFor(urls, flags);
      const jsonFile = flags.json === '-' ? undefined : await wholeFile(flags.json, '--json');
      const htmlFile = await wholeFile(flags.html, '--html');
      const { carefulPlan, fullPlan, quickPlan } = measuring;
      const plan = flags.full ? fullPlan : flags.quick ? quickPlan : carefulPlan;
      say(announced(urls.length, plan, measuring.longestRun(plan, urls.length)));
      const signal = interruption();
      const bar = workBar('measuring');
      const report = await measuring.measure({ urls, ca, plan, trace, version, signal, onProgress: bar.update });
      bar.clear();

      const json = `${JSON.stringify(report, null, 1)}\n`;
      process.stdout.write(flags.json === '-' ? json : measuring.renderReport(report, flags));
      if (earlier !== undefined) {
        const compared = measuring.renderComparison(measuring.compareReports(earlier, report), earlier);
        (flags.json === '-' ? process.stderr : process.stdout).write(`\n${compared}\n`);
      }
      // What was measured has been shown, whatever becomes of them.
      if (jsonFile !== undefined) await replaceFile(jsonFile, json);
      if (htmlFile !== undefined) await replaceFile(htmlFile, measuring.renderPage(report));
      const answered = report.members.some(({ imageSize }) => imageSize !== null);
      if (!answered || !report.complete) process.exitCode = 1;
      if (!report.complete) return;
      for (const { url, limit, why } of measuring.brokenLimits(report, limits)) {
        say(`${url} does not keep ${limit.given}: ${why}`);
        process.exitCode = brokenStatus;
      }
    });
}

function say(line: string): void {
  process.stderr.write(`tetherfs: ${line}\n`);
}

function announced(members: number, { cellBytes, rate }: Plan, longestMs: number): string {
  const who = members === 1 ? '1 member' : `${members} members`;
  const how =
    cellBytes === null || rate === null
      ? 'as much as the network carries: others on it will notice'
      : `at most ${cellBytes / (1 << 20)} MiB without a pause, ${(rate * 8) / 1e6} Mbit/s on average (--full for a network that nobody else uses)`;
  const minutes = longestMs / 60_000;
  const time = minutes < 2 ? `${Math.ceil(longestMs / 1_000)} s` : `${Math.ceil(minutes)} min`;
  return `measuring ${who}, for some ${time}: ${how}`;
}

/** Each once. @throws UsageError when there is none. */
async function membersOf(words: readonly string[], flags: BenchFlags): Promise<FileUrl[]> {
  const wrong = words.find((word) => !isFileUrl(word));
  if (wrong !== undefined) throw new UsageError(`${shownUrl(wrong)} is no http:// or https:// URL`);
  const urls = [...words, ...(await ofMount(flags))];
  if (flags.membersFrom !== undefined) {
    const { largestMembersFile, membersOfFile } = await import('../profile/index.ts');
    const text = readGivenFile(flags.membersFrom, '--members-from', largestMembersFile).toString('utf8');
    const [first] = urls;
    urls.push(
      ...membersOfFile(text, { path: flags.membersFrom, like: first === undefined ? undefined : parseFileUrl(first) }),
    );
  }
  if (urls.length === 0)
    throw new UsageError('name members: URLs of an image, --members-from FILE, or --mount MOUNTPOINT');
  const files = urls.map(parseFileUrl);
  return [...new Map(files.map((file) => [file.given, file])).values()];
}

async function ofMount({ mount, control }: BenchFlags): Promise<string[]> {
  if (mount === undefined && control === undefined) return [];
  const { controlOf } = await import('../mount/control-path.ts');
  const { readStatus } = await import('../mount/control-client.ts');
  const urls = (await readStatus(controlOf(mount ?? '', control))).members.map(({ url }) => url);
  const numbered = urls.find((url) => / \(\d+\)$/.test(url));
  if (numbered === undefined) return urls;
  throw new UsageError(
    `${numbered}: members that differ in their query alone a mount does not tell apart for others: name their URLs`,
  );
}

/**
 * The path of a file that can be written when minutes have been spent, behind links that lead to it; undefined when none is given.
 * @throws UsageError
 */
async function wholeFile(given: string | undefined, option: string): Promise<string | undefined> {
  if (given === undefined) return undefined;
  const file = await realpath(given).catch(() => resolve(given));
  const there = await stat(file).catch(() => undefined);
  if (there !== undefined && !there.isFile())
    throw new UsageError(`${option} ${given}: it is no regular file; standard output is --json -`);
  await access(dirname(file), constants.W_OK).catch((cause: unknown) => {
    throw new UsageError(`${option} ${given}: no file can be made there: ${describeError(cause)}`);
  });
  return file;
}

/** The old one stays until the new one is whole. @throws Error of the system call */
async function replaceFile(file: string, text: string): Promise<void> {
  const beside = `${file}.new-${process.pid}`;
  try {
    await writeFile(beside, text, { flag: 'wx' });
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
