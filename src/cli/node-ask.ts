/** `tetherfs node ask`: a question of a script on a node to its members. */
import { Command, InvalidArgumentError } from 'commander';
import { TetherfsError } from '../base/errors.ts';
import { interruption } from './interruption.ts';

interface AskFlags {
  data?: string;
  waitFor?: number;
}

export function nodeAskCommand(): Command {
  return new Command('ask')
    .description('ask the members, as this node: for scripts')
    .argument('<path>', '/confluent-api/self/ROUTE')
    .option('-d, --data <text>', 'post this')
    .option('-w, --wait-for <status>', 'ask again, every second, until the answer has this HTTP status', httpStatus)
    .addHelpText(
      'after',
      `
Prints what the first member says that answers well. Scripts of confluent's profiles call it as /etc/confluent/apiclient, which every node has.

Exit status: 0 done, 1 no member answers well, or this machine has not booted by tetherfs node boot.

Examples:
  tetherfs node ask /confluent-api/self/nodelist
  tetherfs node ask /confluent-api/self/remoteconfig/extra.d -d '{}'
  tetherfs node ask /confluent-api/self/remoteconfig/status -w 204`,
    )
    .action(async (path: string, { data, waitFor }: AskFlags) => {
      const { askMembers } = await import('../node/onboot/ask-members.ts');
      const { RunningNode } = await import('../node/onboot/running-node.ts');
      const { readBootRecord } = await import('../node/records.ts');
      const signal = interruption();
      const node = RunningNode.read(readBootRecord(), signal);
      if (node === undefined) throw new TetherfsError('NO_NODE_BOOT', 'this node has booted without members to ask');
      await askMembers(node.api, { path, data, until: waitFor }, (body) => void process.stdout.write(body), signal);
    });
}

function httpStatus(text: string): number {
  if (!/^[1-5]\d\d$/.test(text)) throw new InvalidArgumentError('Give a status of HTTP, such as 204.');
  return Number(text);
}
