/** `tetherfs profile`: what a profile says. */
import { Command } from 'commander';
import { collect } from './repeated-option.ts';

interface CmdlineFlags {
  member: string[];
  api?: string;
}

export function profileCommand(): Command {
  return new Command('profile').description('what a profile says').addCommand(
    new Command('cmdline')
      .description('print the kernel command line of a profile')
      .argument('<profile-dir>')
      .option(
        '--member <url>',
        'URL of the profile on a member, e.g. http://10.0.0.1/confluent-public/os/demo (may be repeated)',
        collect,
        [],
      )
      .option(
        '--api <who>',
        'who gives nodes their keys, and says what they are to boot: discover, or addresses of members with commas between',
      )
      .addHelpText(
        'after',
        `
Example:
  tetherfs profile cmdline --member http://10.0.0.1/confluent-public/os/demo --member http://10.0.0.2/confluent-public/os/demo \\
      /var/lib/confluent/public/os/demo
  tetherfs profile cmdline --api discover /var/lib/confluent/public/os/demo`,
      )
      .action(async (directory: string, { member, api }: CmdlineFlags) => {
        const { bootCommandLine, bootDoubts } = await import('../imgutil/boot-command-line.ts');
        const from = { members: member, api };
        process.stdout.write(`${await bootCommandLine(directory, from)}\n`);
        for (const doubt of await bootDoubts(directory, from)) process.stderr.write(`tetherfs: ${doubt}\n`);
      }),
  );
}
