/** What upstream's scripts on a node read: /etc/confluent/*. */
import { formatDeploycfg } from '../../protocol/deploycfg.ts';
import type { Enrolment } from '../enrol.ts';
import { readOrNothing } from '../small-files.ts';
import type { SiteTrust } from '../trust.ts';
import type { RootTree } from './root-tree.ts';

const directory = '/etc/confluent';

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
}

/** Zones are numbers there. */
function confluentInfo({ node, members, found }: Enrolment): string {
  const lines = members.flatMap((member) => {
    const address = member.replace(/%(.+)$/, (_, zone: string) => `%${indexOf(zone)}`);
    const answer = found.find((one) => one.address === member);
    const isInfo = address.includes(':') && answer !== undefined;
    return [
      `MANAGER: ${address}`,
      ...(isInfo ? [`EXTMGRINFO: ${address}|${answer.interfaceIndex ?? ''}|${answer.isDefault ? 1 : 0}`] : []),
    ];
  });
  return [`NODENAME: ${node}`, ...lines, ''].join('\n');
}

function indexOf(device: string): string {
  return readOrNothing(`/sys/class/net/${device}/ifindex`).trim() || device;
}
