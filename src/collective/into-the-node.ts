/** The member's way into a node: ssh as root, by the site's automation key, to a host that shows a certificate of the site's for the node's name, whatever address it has. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../base/log.ts';
import type { Profiles } from './profiles.ts';
import type { RunTool } from './tools.ts';

/** What works in nodes is made of these. */
export interface IntoTheNode {
  profiles: Profiles;
  run: RunTool;
  /** A directory that nobody else can enter, in memory (/run). */
  scratch: string;
  /** Private key for root on the nodes: a file. */
  automationKey: string;
  /** Lines that name the authorities of host certificates. */
  knownHosts: () => Promise<string>;
  log: Log;
}

/** @param use gets a directory of its own, and ssh's options; the directory goes with it. */
export async function withSsh<T>(
  node: string,
  { scratch, knownHosts }: Pick<IntoTheNode, 'scratch' | 'knownHosts'>,
  use: (work: string, sshWords: string[]) => Promise<T>,
): Promise<T> {
  const work = await mkdtemp(join(scratch, 'node-'));
  try {
    const known = join(work, 'known_hosts');
    await writeFile(known, await knownHosts());
    const options = {
      BatchMode: 'yes',
      StrictHostKeyChecking: 'yes',
      HostKeyAlias: node,
      UserKnownHostsFile: known,
      GlobalKnownHostsFile: '/dev/null',
      IdentitiesOnly: 'yes',
      ConnectTimeout: '10',
      ServerAliveInterval: '10',
    };
    return await use(work, [
      '-F',
      'none',
      ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    ]);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
