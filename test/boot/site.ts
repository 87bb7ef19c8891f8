/** Three members and a DHCP server on a network that a machine is plugged into. Everything of it ends with the sandbox. */
import { execFileSync } from 'node:child_process';
import { Nginx } from '../support/nginx.ts';
import { DhcpServer } from './dhcp.ts';

const bridge = 'bridge0';
const tap = 'tap0';
const addresses = ['10.9.0.1', '10.9.0.2', '10.9.0.3'];

/** The first member's, as a machine writes it whose network device is eth0. */
const linkLocal = 'fe80::1';

/** Kernel arguments that give the machine an address. */
export const address = 'ip=10.9.0.100::10.9.0.1:255.255.255.0:node1:eth0:none';
export const addressByDhcp = 'ip=dhcp';

export class BootSite implements AsyncDisposable {
  readonly members: readonly Nginx[];
  readonly tap = tap;
  readonly #dhcp: DhcpServer;

  private constructor(members: readonly Nginx[], dhcp: DhcpServer) {
    this.members = members;
    this.#dhcp = dhcp;
  }

  /** @param publicDir served as /confluent-public/. */
  static async make(publicDir: string): Promise<BootSite> {
    const ip = (...words: string[]) => execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] });
    ip('link', 'add', bridge, 'type', 'bridge');
    for (const one of addresses) ip('address', 'add', `${one}/24`, 'dev', bridge);
    ip('link', 'set', bridge, 'up');
    ip('tuntap', 'add', tap, 'mode', 'tap');
    ip('link', 'set', tap, 'master', bridge, 'up');
    ip('address', 'add', `${linkLocal}/64`, 'dev', bridge, 'nodad');
    const dhcp = await DhcpServer.start(bridge, '10.9.0.120');
    const members = addresses.map((address, index) =>
      Nginx.start({ address, publicDir, alsoListen: index === 0 ? ['[::]:80'] : [] }),
    );
    return new BootSite(await Promise.all(members), dhcp);
  }

  /** URLs of a profile on each member. @param path below /confluent-public/. */
  urls(path: string): string[] {
    return this.members.map((member) => member.url(path));
  }

  /** URL of a profile on the first member, for a machine without an address but what its network device gives itself. */
  linkLocalUrl(path: string): string {
    return `http://[${linkLocal}%25eth0]/confluent-public/${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dhcp[Symbol.asyncDispose]();
    await Promise.all(this.members.map((member) => member[Symbol.asyncDispose]()));
  }
}
