/** `tetherfs node`: what a diskless node does by itself. */
import { Command } from 'commander';
import { nodeAskCommand } from './node-ask.ts';
import { nodeBootCommand } from './node-boot.ts';
import { nodeMembersCommand, nodeOnbootCommand } from './node-onboot.ts';
import { nodeStatusCommand } from './node-status.ts';

export function nodeCommand(): Command {
  return new Command('node')
    .description('a diskless node: how it has booted; boot it from its image')
    .addCommand(nodeStatusCommand())
    .addCommand(nodeBootCommand())
    .addCommand(nodeOnbootCommand())
    .addCommand(nodeMembersCommand())
    .addCommand(nodeAskCommand());
}
