/** What upstream's scripts on a node read: /etc/confluent/*. */
import { nodeRuntime } from '../../base/installation.ts';
import { formatConfluentInfo, type KnownMember } from '../../protocol/confluent-info.ts';
import { formatDeploycfg } from '../../protocol/deploycfg.ts';
import { numberZone } from '../devices.ts';
import type { Enrolment } from '../enrol.ts';
import type { SiteTrust } from '../trust.ts';
import type { RootTree } from './root-tree.ts';

const directory = '/etc/confluent';

/** Their functions have a Python run it, before /opt/confluent/bin/apiclient. */
const apiclient = `#!/usr/bin/python3
# What confluent's functions call apiclient: tetherfs asks.
import os
import sys

program = '${nodeRuntime}/tetherfs'
os.execv(program, [program, 'node', 'ask'] + sys.argv[1:])
`;

/** @param functions upstream's, of the profile; undefined where it has none. */
export async function leaveConfluentFiles(
  tree: RootTree,
  enrolment: Enrolment,
  trust: SiteTrust,
  functions: string | undefined,
): Promise<void> {
  const { key, config } = enrolment;
  const leave = (name: string, content: string, mode: number) => tree.write(`${directory}/${name}`, content, { mode });
  await leave('confluent.info', confluentInfo(enrolment), 0o644);
  await leave('confluent.apikey', `${key}\n`, 0o600);
  await leave('confluent.deploycfg', formatDeploycfg(config), 0o600);
  await leave('ca.pem', `${trust.tls.join('\n')}\n`, 0o644);
  if (functions !== undefined) await leave('functions', functions, 0o644);
  await leave('apiclient', apiclient, 0o755);
}

function confluentInfo({ node, members, found }: Enrolment): string {
  const known = members.map((member): KnownMember => {
    const answer = found.find(({ address }) => address === member);
    return { ...answer, address: numberZone(member) };
  });
  return formatConfluentInfo({ node, members: known });
}
