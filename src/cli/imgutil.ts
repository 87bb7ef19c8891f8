/** `imgutil`: confluent's tool by its own arguments, so that fingers and scripts keep working. What each does is what `tetherfs image` does. */
import { Command } from 'commander';
import { UsageError } from '../base/errors.ts';
import { profileName } from '../profile/index.ts';
import { collect } from './repeated-option.ts';

interface BuildFlags {
  addrepos: string[];
  packagelist?: string;
  addpackagelist: string[];
  source?: string;
  arch?: string;
  nonInteractive: boolean;
  volume: string[];
}

export function imgutilCommand(): Command {
  return new Command('imgutil')
    .enablePositionalOptions()
    .description('drop-in for confluent’s imgutil: diskless images')
    .addCommand(
      new Command('build')
        .description('a tree from packages: tetherfs image build')
        .option('-r, --addrepos <repository>', 'besides the source (may be repeated)', collect, [])
        .option('-p, --packagelist <file>', 'in the place of the usual list')
        .option('-a, --addpackagelist <file>', 'besides (may be repeated)', collect, [])
        .option('-s, --source <medium>', 'a directory, or the name of one that was imported')
        .option('--arch <name>', 'of the processor')
        .option('-y, --non-interactive', 'do not ask', false)
        .option('-v, --volume <src[:dst]>', 'show a directory to scripts of packages (may be repeated)', collect, [])
        .argument('<scratchdir>')
        .action((directory: string, flags: BuildFlags) => {
          const { addrepos, packagelist, addpackagelist, source, arch, nonInteractive, volume } = flags;
          return image(
            'build',
            ...(nonInteractive ? ['-y'] : []),
            ...valued('-s', source),
            ...valued('--arch', arch),
            ...valued('-p', packagelist),
            ...addrepos.flatMap((one) => ['-r', one]),
            ...addpackagelist.flatMap((one) => ['-a', one]),
            ...volume.flatMap((one) => ['-v', one]),
            '--',
            directory,
          );
        }),
    )
    .addCommand(
      new Command('exec')
        .description('a command in a tree: tetherfs image exec')
        .option('-v, --volume <src[:dst]>', 'show a directory there (may be repeated)', collect, [])
        .argument('<scratchdir>')
        .argument('[cmd...]')
        .passThroughOptions()
        .action((directory: string, command: string[], { volume }: { volume: string[] }) =>
          image('exec', ...volume.flatMap((one) => ['-v', one]), '--', directory, ...command),
        ),
    )
    .addCommand(
      new Command('unpack')
        .description('a profile becomes a tree again: tetherfs image unpack')
        .argument('<profilename>')
        .argument('<scratchdir>')
        .action((profile: string, directory: string) => image('unpack', '--', profile, directory)),
    )
    .addCommand(
      new Command('pack')
        .description('a tree becomes a profile: tetherfs image pack')
        .option('-b, --baseprofile <profile>', 'has all that the new one lacks')
        .option('-u, --unencrypted', 'leave the image in clear', false)
        .argument('<scratchdir>')
        .argument('<profilename>')
        .action(async (directory: string, name: string, flags: { baseprofile?: string; unencrypted: boolean }) => {
          const { confluentTree, profileDirectory } = await import('../imgutil/private-place.ts');
          if (!profileName.test(name)) throw wrongName(name);
          const base = valued('--base-profile', flags.baseprofile);
          const clear = flags.unencrypted ? ['--no-encrypt'] : [];
          await image('pack', ...base, ...clear, '--', directory, profileDirectory(name, confluentTree));
        }),
    )
    .addCommand(
      new Command('capture')
        .description('a running machine becomes a profile: tetherfs image capture')
        .argument('<node>')
        .argument('<profilename>')
        .action((node: string, name: string) => {
          if (!profileName.test(name)) throw wrongName(name);
          return image('capture', '--', node.includes('@') ? node : `root@${node}`, name);
        }),
    );
}

function wrongName(name: string): UsageError {
  return new UsageError(`${name} is no name of a profile: letters, digits, dots, dashes and underscores`);
}

function valued(option: string, value: string | undefined): string[] {
  return value === undefined ? [] : [option, value];
}

async function image(...words: string[]): Promise<void> {
  const { imageCommand } = await import('./image.ts');
  const command = imageCommand();
  command.commands.forEach((one) => {
    one.exitOverride();
  });
  await command.parseAsync(words, { from: 'user' });
}
