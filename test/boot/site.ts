/** Three members on a network that a machine is plugged into. Everything of it ends with the sandbox. */
import { execFileSync } from 'node:child_process';
import { Nginx } from '../support/nginx.ts';

const bridge = 'bridge0';
const tap = 'tap0';
const addresses = ['10.9.0.1', '10.9.0.2', '10.9.0.3'];

/** Kernel argument that gives the machine an address. */
export const address = 'ip=10.9.0.100::10.9.0.1:255.255.255.0:node1:eth0:none';

export class BootSite implements AsyncDisposable {
  readonly members: readonly Nginx[];
  readonly tap = tap;

  private constructor(members: readonly Nginx[]) {
    this.members = members;
  }

  /** @param publicDir served as /confluent-public/. */
  static async make(publicDir: string): Promise<BootSite> {
    const ip = (...words: string[]) => execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] });
    ip('link', 'add', bridge, 'type', 'bridge');
    for (const one of addresses) ip('address', 'add', `${one}/24`, 'dev', bridge);
    ip('link', 'set', bridge, 'up');
    ip('tuntap', 'add', tap, 'mode', 'tap');
    ip('link', 'set', tap, 'master', bridge, 'up');
    return new BootSite(await Promise.all(addresses.map((one) => Nginx.start({ address: one, publicDir }))));
  }

  /** URLs of a profile on each member. @param path below /confluent-public/. */
  urls(path: string): string[] {
    return this.members.map((member) => member.url(path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member[Symbol.asyncDispose]()));
  }
}
