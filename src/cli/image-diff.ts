/** `tetherfs image diff`: what two images, or trees, differ in. */
import { stat } from 'node:fs/promises';
import { Command } from 'commander';
import { isFileUrl } from '../base/file-url.ts';
import { formatSize } from '../base/size.ts';
import { shownPath } from '../base/tree-entry.ts';
import type { Comparison, Difference, TreeSize } from '../imgutil/diff.ts';
import type { Side } from '../imgutil/side-by-side.ts';
import type { SourceOptions } from '../imgutil/unpack-source.ts';
import { loadBinding } from '../native/binding.ts';
import { caDirOption, caFileOption } from './image-options.ts';
import { interruption } from './interruption.ts';
import { progressBar } from './progress-bar.ts';
import { collect } from './repeated-option.ts';

interface DiffFlags {
  keyFile?: string[];
  privateDir?: string;
  tree?: string;
  caFile?: string;
  caDir?: string;
  allowUnverified: boolean;
  json: boolean;
}

/** Of who asks whether they are the same. */
const differStatus = 3;

export function imageDiffCommand(): Command {
  return new Command('diff')
    .description('what two images or trees differ in: files that one alone has, and what has changed of the others')
    .argument('<a>', "a profile's name or directory, an image's file or URL, or the directory of a tree")
    .argument('<b>', 'likewise')
    .option(
      '--key-file <file>',
      "a key of them (default: the profiles', in the private tree beside the public one; may be repeated)",
      collect,
    )
    .option('--private-dir <dir>', "the one that was given to 'image pack', if any")
    .option('--tree <dir>', "confluent's tree (default: /var/lib/confluent)")
    .addOption(caFileOption())
    .addOption(caDirOption())
    .option('--allow-unverified', 'take bytes that come over http: without a digest', false)
    .option('--json', 'print JSON', false)
    .addHelpText(
      'after',
      `
Compared are kind, content (every byte), owner, group, mode, extended attributes, capabilities and links; times are not. An image is checked against its
digest, and mounted where nobody else sees it; encrypted, it needs its size in room in /var/tmp (or TMPDIR) meanwhile, in a file without a name.

A line each: "added" is in B alone, "removed" in A alone, "changed" in both; then a line for all of it. "image pack" blanks what each machine has of its own, so
a tree differs in that from its image. Sockets are in no image.

Exit status: 0 they are the same, ${differStatus} they differ, 1 they cannot be compared, 2 wrong usage.

Examples:
  tetherfs image diff /var/lib/confluent/public/os/demo/rootimg-1f0c….sfs demo
  tetherfs image diff demo /srv/trees/demo`,
    )
    .action(async (a: string, b: string, { json, keyFile, ...flags }: DiffFlags) => {
      const { compare } = await import('../imgutil/diff.ts');
      const { SideBySide } = await import('../imgutil/side-by-side.ts');
      const say = (line: string) => void process.stderr.write(`tetherfs: ${line}\n`);
      const signal = interruption();
      const options = { ...flags, keyFiles: keyFile, onTrouble: say };
      const checking = progressBar('checking');
      const comparing = progressBar('comparing');
      await using opened = new AsyncDisposableStack();
      const [before, after] = [await sideOf(a, options, opened), await sideOf(b, options, opened)];
      await using trees = await SideBySide.mount(before, after, {
        xts: (...call) => loadBinding().xts(...call),
        onChecked: (bytes, totalBytes) => checking.update({ bytes, totalBytes }),
        signal,
      }).finally(checking.clear);
      const found = await compare(trees, {
        onRead: (bytes, totalBytes) => comparing.update({ bytes, totalBytes }),
        signal,
      }).finally(comparing.clear);
      process.stdout.write(json ? `${JSON.stringify(shown(found), null, 2)}\n` : describe(found));
      process.exitCode = found.differences.length === 0 ? 0 : differStatus;
    });
}

async function sideOf(given: string, options: SourceOptions, opened: AsyncDisposableStack): Promise<Side> {
  const { openToUnpack, profileImage } = await import('../imgutil/unpack-source.ts');
  const isImage = isFileUrl(given) || (await profileImage(given, options)) !== undefined;
  const found = isImage ? undefined : await stat(given).catch(() => undefined);
  if (found?.isDirectory()) return { directory: given };
  return { image: opened.use(await openToUnpack([given], options)) };
}

function shown({ differences, ...sizes }: Comparison): object {
  return { ...sizes, differences: differences.map((one) => ({ ...one, path: shownPath(one.path) })) };
}

function describe({ differences, before, after }: Comparison): string {
  if (differences.length === 0) return `the same: ${describeSize(after)}\n`;
  const lines = differences.map((one) =>
    [one.kind.padEnd(7), shownPath(one.path), [one.what.join(', '), sizesOf(one)].filter(Boolean).join('; ')]
      .filter(Boolean)
      .join('  '),
  );
  const of = (kind: Difference['kind']) => differences.filter((one) => one.kind === kind);
  const bytes = (all: readonly Difference[]) =>
    formatSize(all.reduce((sum, one) => sum + (one.after ?? one.before ?? 0), 0));
  const counts = [
    `${of('added').length} added (${bytes(of('added'))})`,
    `${of('removed').length} removed (${bytes(of('removed'))})`,
    `${of('changed').length} changed`,
  ];
  return `${lines.join('\n')}\n${counts.join(', ')}; before ${describeSize(before)}, after ${describeSize(after)}\n`;
}

function sizesOf({ before, after }: Difference): string {
  if (before === undefined || after === undefined) return formatKnown(before ?? after);
  return before === after ? '' : `${formatSize(before)} -> ${formatSize(after)}`;
}

function formatKnown(bytes: number | undefined): string {
  return bytes === undefined ? '' : formatSize(bytes);
}

function describeSize({ files, bytes }: TreeSize): string {
  return `${files} entries, ${formatSize(bytes)}`;
}
