/** `tetherfs node status`. */
import { Command } from 'commander';

export function nodeStatusCommand(): Command {
  return new Command('status')
    .description('how this node has booted, from where, what it lacks, and how long each step took')
    .option(
      '--json',
      'print JSON: times in seconds since the kernel started; the mount as tetherfs status has it',
      false,
    )
    .addHelpText(
      'after',
      `
Exit status: 0 printed, 1 this machine has not booted by tetherfs node boot, or who asks is not root.`,
    )
    .action(async ({ json }: { json: boolean }) => {
      const { readNodeStatus, renderNodeStatus } = await import('../node/node-status.ts');
      const status = await readNodeStatus();
      process.stdout.write(json ? `${JSON.stringify(status)}\n` : renderNodeStatus(status));
    });
}
