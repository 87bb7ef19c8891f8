/** `tetherfs profile`: what a profile says. */
import { Command } from 'commander';

interface CmdlineFlags {
  member: string[];
}

export function profileCommand(): Command {
  return new Command('profile').description('what a profile says').addCommand(
    new Command('cmdline')
      .description('print the kernel command line of a profile')
      .argument('<profile-dir>')
      .option(
        '--member <url>',
        'URL of the profile on a member, e.g. http://10.0.0.1/confluent-public/os/demo (may be repeated)',
        (url: string, before: string[]) => [...before, url],
        [],
      )
      .addHelpText(
        'after',
        `
Example:
  tetherfs profile cmdline --member http://10.0.0.1/confluent-public/os/demo --member http://10.0.0.2/confluent-public/os/demo \\
      /var/lib/confluent/public/os/demo`,
      )
      .action(async (directory: string, { member }: CmdlineFlags) => {
        const { bootCommandLine, bootDoubts } = await import('../imgutil/boot-command-line.ts');
        process.stdout.write(`${await bootCommandLine(directory, member)}\n`);
        for (const doubt of await bootDoubts(directory, member)) process.stderr.write(`tetherfs: ${doubt}\n`);
      }),
  );
}
