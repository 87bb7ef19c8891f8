/** `tetherfs trace`: what a boot read, in order, so that the next one gets it in advance. */
import { statSync } from 'node:fs';
import { Command, Option } from 'commander';
import { describeError, UsageError } from '../base/errors.ts';
import { isFileUrl, shownUrl } from '../base/file-url.ts';
import { parseTrace, type Trace } from '../image/trace.ts';
import { readTrace } from '../mount/control-client.ts';
import { controlOf } from '../mount/control-path.ts';
import { tetherfsAt } from '../mount/mount-table.ts';
import { type Binding, loadBinding } from '../native/binding.ts';

interface ControlFlag {
  control?: string;
}

export function traceCommand(): Command {
  return new Command('trace')
    .description(
      'what a boot read from an image, in order: show it, save it, lay it beside the image for the next boots',
    )
    .addCommand(showCommand())
    .addCommand(saveCommand())
    .addCommand(publishCommand())
    .addCommand(mergeCommand())
    .addHelpText(
      'after',
      `
A mount with --digest records which chunks are read first, for ten minutes. Beside the image (rootimg.sfs.trace on every member) the
trace is found by the nodes that boot next.

Examples:
  tetherfs trace save /mnt/remoteimg boot.trace                # on a node that has just booted
  tetherfs trace merge n1.trace n2.trace n3.trace --output boot.trace
  tetherfs trace publish boot.trace /var/lib/confluent/public/os/demo/rootimg.sfs    # on the server`,
    );
}

function showCommand(): Command {
  return new Command('show')
    .description('summarize the trace of a mount or in a file')
    .argument('<mountpoint-or-file>')
    .option('--json', 'print JSON with all runs: sizes in bytes', false)
    .addOption(new Option('--raw', 'print the file as it is').default(false).conflicts('json'))
    .addOption(controlOption())
    .action(async (source: string, flags: ControlFlag & { json: boolean; raw: boolean }) => {
      const { formatTraceSummary, summarizeTrace } = await import('../imgutil/trace-report.ts');
      const text = await readFrom(source, flags);
      const summary = summarizeTrace(parseTrace(text));
      if (flags.raw) process.stdout.write(text);
      else if (flags.json) process.stdout.write(`${JSON.stringify(summary)}\n`);
      else process.stdout.write(formatTraceSummary(source, summary));
    });
}

function saveCommand(): Command {
  return new Command('save')
    .description('write the trace of a mount to a file')
    .argument('<mountpoint>')
    .argument('<file>')
    .option('--force', 'replace the file if it exists', false)
    .addOption(controlOption())
    .action(async (mountpoint: string, file: string, flags: ControlFlag & { force: boolean }) => {
      const { writeTraceFile } = await import('../imgutil/trace-file.ts');
      const text = await readTrace(controlOf(mountpoint, flags.control));
      parseTrace(text);
      await writeTraceFile(file, text, { replace: flags.force });
    });
}

function publishCommand(): Command {
  return new Command('publish')
    .description('lay a trace beside the image that it belongs to, in place of an older one')
    .argument('<mountpoint-or-file>')
    .argument('<image>', 'path of rootimg.sfs, its fs-verity sidecar beside it')
    .option('--key-file <file>', "key of an encrypted image (default: the one that 'image pack' keeps of it)")
    .option('--private-dir <dir>', "the one that was given to 'image pack', if any")
    .addOption(controlOption())
    .addHelpText(
      'after',
      `
With the key the trace is kept by path as well, below the private directory (for an image in clear beside it), so that the next image
pack packs in this order and gives the new image a trace of the same files.`,
    )
    .action(async (source: string, image: string, flags: ControlFlag & { keyFile?: string; privateDir?: string }) => {
      const { publishTrace } = await import('../imgutil/trace-publish.ts');
      if (isFileUrl(image))
        throw new UsageError(`${shownUrl(image)} is a URL: give the image's path on this machine, the server`);
      const { keyFile, privateDir } = flags;
      const xts: Binding['xts'] = (...call) => loadBinding().xts(...call);
      const published = await publishTrace(await readFrom(source, flags), image, { keyFile, privateDir, xts });
      if (published.problem !== undefined)
        process.stderr.write(`tetherfs: the trace will not outlive this image: ${published.problem}\n`);
      for (const path of [published.tracePath, published.bootOrderPath]) if (path) process.stdout.write(`${path}\n`);
    });
}

function mergeCommand(): Command {
  return new Command('merge')
    .description('make one trace of those of several boots: what most of them read, in their order')
    .argument('<trace...>', 'files of one image, one a boot')
    .requiredOption('--output <file>', 'where it is written')
    .option('--force', 'replace the file if it exists', false)
    .action(async (files: string[], flags: { output: string; force: boolean }) => {
      const { readTraceFile, writeTraceFile } = await import('../imgutil/trace-file.ts');
      const { mergeTraces } = await import('../image/trace-merge.ts');
      const traces = await Promise.all(files.map((file) => readTraceOf(file, readTraceFile)));
      await writeTraceFile(flags.output, mergeTraces(traces), { replace: flags.force });
    });
}

/** @throws TetherfsError that names the file */
async function readTraceOf(file: string, read: (file: string) => Promise<string>): Promise<Trace> {
  const text = await read(file);
  try {
    return parseTrace(text);
  } catch (cause) {
    throw new UsageError(`${file}: ${describeError(cause)}`, { cause });
  }
}

function controlOption(): Option {
  return new Option('--control <socket>', 'ask the daemon at this control socket');
}

/** The text of a trace, from a mount's daemon or out of a file. */
async function readFrom(source: string, { control }: ControlFlag): Promise<string> {
  if (control !== undefined || isMountpoint(source)) return readTrace(controlOf(source, control));
  const { readTraceFile } = await import('../imgutil/trace-file.ts');
  return readTraceFile(source);
}

/** A mount of ours is not touched: it may hang. */
function isMountpoint(path: string): boolean {
  return tetherfsAt(path) !== undefined || statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
