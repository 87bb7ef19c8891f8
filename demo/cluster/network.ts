/** The network of the demo: a bridge that a machine is plugged into, with the servers in network namespaces of their own. All of it ends with the sandbox. */
import { execFileSync } from 'node:child_process';

const bridge = 'cluster';

export class ClusterNetwork {
  readonly tap = 'tap0';
  readonly bridge = bridge;

  constructor() {
    ip('link', 'add', bridge, 'type', 'bridge');
    // Ours, for whoever logs in to the machine.
    ip('address', 'add', '10.9.0.254/24', 'dev', bridge);
    ip('link', 'set', bridge, 'up');
    ip('tuntap', 'add', this.tap, 'mode', 'tap');
    ip('link', 'set', this.tap, 'master', bridge, 'up');
  }

  /** A server's namespace. @returns what runs a program in it. */
  add(name: string, address: string): string[] {
    ip('netns', 'add', name);
    ip('link', 'add', `to-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    ip('link', 'set', `to-${name}`, 'master', bridge, 'up');
    ip('-n', name, 'address', 'add', `${address}/24`, 'dev', 'eth0');
    ip('-n', name, 'link', 'set', 'eth0', 'up');
    ip('-n', name, 'link', 'set', 'lo', 'up');
    return ['ip', 'netns', 'exec', name];
  }
}

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] });
}
