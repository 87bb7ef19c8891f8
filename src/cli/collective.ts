/** `tetherfs collective`: a member's server, and the site that it serves. */
import { Command } from 'commander';
import { defaultPlaces } from '../collective/places.ts';
import { caCommand } from './collective-ca.ts';
import { nodesCommand } from './collective-node.ts';
import {
  auditCommand,
  backupCommand,
  profileCommand,
  restoreCommand,
  siteCommand,
  statusCommand,
} from './collective-records.ts';
import { runCommand } from './collective-run.ts';

export function collectiveCommand(): Command {
  return new Command('collective')
    .description('a member of the site: the server that gives nodes their keys and certificates, and all that it knows')
    .addCommand(runCommand())
    .addCommand(nodesCommand())
    .addCommand(profileCommand())
    .addCommand(siteCommand())
    .addCommand(caCommand())
    .addCommand(auditCommand())
    .addCommand(statusCommand())
    .addCommand(backupCommand())
    .addCommand(restoreCommand())
    .addHelpText(
      'after',
      `
A first member, and a node that may boot:
  tetherfs collective run
  tetherfs collective node add n1 net.hwaddr=52:54:00:12:34:56 deployment.pendingprofile=demo
  tetherfs collective node arm n1 once

All but run change the state in --state (default ${defaultPlaces.state}) beside the running server, which need not be told.`,
    );
}
