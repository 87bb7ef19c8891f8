/** Which time it is on a node: its time zone, and who is asked for the time. */
import type { RootTree } from './root-tree.ts';

/** @returns false when the image does not know the zone. */
export async function setTimeZone(tree: RootTree, zone: string): Promise<boolean> {
  const place = `/usr/share/zoneinfo/${zone}`;
  // What it is where nothing is said.
  if (/^(?:Etc\/)?UTC$/.test(zone) && !(await tree.has(place))) await tree.remove('/etc/localtime');
  else if (!isZone(zone) || !(await tree.has(place))) return false;
  else await tree.link('/etc/localtime', place);
  // Debian's, where the image has it.
  if (await tree.has('/etc/timezone')) await tree.write('/etc/timezone', `${zone}\n`);
  return true;
}

/** A name, and no way out of the directory of zones. */
function isZone(text: string): boolean {
  return /^[A-Za-z0-9_+-]+(?:\/[A-Za-z0-9_+-]+)*$/.test(text);
}

/** Of chrony and of the two NTP daemons, whose files say it alike. */
const files = ['/etc/chrony/chrony.conf', '/etc/chrony.conf', '/etc/ntpsec/ntp.conf', '/etc/ntp.conf'];
const timesyncd = '/usr/lib/systemd/systemd-timesyncd';

/** @returns false when the image has nobody who asks for the time. */
export async function setTimeServers(tree: RootTree, servers: readonly string[]): Promise<boolean> {
  let isTold = false;
  for (const path of files) {
    const text = await tree.read(path);
    if (text === undefined) continue;
    await tree.write(path, withTimeServers(text, servers));
    isTold = true;
  }
  if (await tree.has(timesyncd)) {
    await tree.write('/etc/systemd/timesyncd.conf.d/90-tetherfs.conf', `[Time]\nNTP=\nNTP=${servers.join(' ')}\n`);
    isTold = true;
  }
  return isTold;
}

/** In the place of those that the image names. */
export function withTimeServers(text: string, servers: readonly string[]): string {
  const others = text.split('\n').filter((line) => !/^\s*(?:pool|server|peer)\s/i.test(line));
  return [...servers.map((server) => `server ${server} iburst`), ...others].join('\n');
}

/** Whether that names a server, and says nothing else to whoever reads it. */
export function isServer(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9.:%_-]*$/.test(text) || /^[0-9a-f:]+(?:%[A-Za-z0-9_.-]+)?$/i.test(text);
}
