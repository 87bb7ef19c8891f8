/** The node's time zone and time servers, in its new root. */

import type { Deploycfg } from '../../protocol/deploycfg.ts';
import type { RootTree } from '../identity/root-tree.ts';
import { isServer, setTimeServers, setTimeZone } from '../identity/time.ts';
import type { Lack } from '../step.ts';

export async function setUpTime(tree: RootTree, { timezone, ntpservers = [] }: Deploycfg, lack: Lack): Promise<void> {
  if (timezone && !(await setTimeZone(tree, timezone)))
    lack(`its time zone is that of the image: ${timezone} is not in /usr/share/zoneinfo`);
  const servers = ntpservers.filter(isServer);
  if (servers.length > 0 && !(await setTimeServers(tree, servers)))
    lack(`nobody asks ${servers.join(', ')} for the time: the image has none of systemd-timesyncd, chrony, ntpsec`);
}
