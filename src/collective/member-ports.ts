/** The ports of a member, by its options. */
import type { Socket as UdpSocket } from 'node:dgram';
import { chmodSync, chownSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { TetherfsError } from '../base/errors.ts';
import { grantPort } from '../protocol/grant.ts';
import { mostGrantConnections } from './listeners/grant.ts';
import type { MemberOptions } from './member-options.ts';
import { bindDiscovery, Port } from './ports.ts';

/** At once, on one port: more are closed at once, so that there are descriptors for everything else. */
const mostConnections = 4_096;

/** All that is listened on, by what it is for. */
export interface MemberPorts {
  /** The API and the public part. */
  https: Port[];
  /** The public part alone. */
  http: Port[];
  /** The API and the public part, from a proxy. */
  proxy: Port | undefined;
  grants: Port[];
  discovery: UdpSocket[] | undefined;
}

/** @param closers gets what closes them again. @throws TetherfsError LISTEN */
export async function bindPorts(options: MemberOptions, closers: (() => unknown)[]): Promise<MemberPorts> {
  const { addresses, httpsPort, httpPort, socket, socketGroup } = options;
  const hosts = addresses.length === 0 ? ['::'] : addresses;
  const bind = async (...where: Parameters<typeof Port.bind>) => {
    const port = await Port.bind(...where);
    closers.push(() => port.close());
    return port;
  };
  const all = async (port: number) => {
    const bound: Port[] = [];
    if (port !== 0 && socket === undefined)
      for (const host of hosts) bound.push(await bind({ host, port }, mostConnections));
    return bound;
  };
  if (socket !== undefined) {
    mkdirSync(dirname(socket), { recursive: true, mode: 0o755 });
    if (lstatSync(socket, { throwIfNoEntry: false })?.isSocket() !== false) rmSync(socket, { force: true });
    else throw new TetherfsError('LISTEN', `--socket ${socket}: there is a file that is no socket`);
  }
  const discovery = options.discovery ? await bindDiscovery() : undefined;
  closers.push(() => discovery?.map((one) => one.close()));
  const https = await all(httpsPort);
  const http = await all(httpPort);
  const grants: Port[] = [];
  if (options.grants)
    for (const host of hosts) grants.push(await bind({ host, port: grantPort }, mostGrantConnections));
  const proxy = socket === undefined ? undefined : await bind({ path: socket, readableAll: true, writableAll: true });
  if (socket !== undefined && socketGroup !== undefined) {
    chmodSync(socket, 0o660);
    chownSync(socket, -1, socketGroup);
  }
  return { https, http, proxy, grants, discovery };
}
