/** A site: a member that gives keys, and three servers of images beside it, which serve its tree. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Profile } from '../../test/boot/profiles.ts';
import { MemberServer, memberUser } from '../../test/support/member.ts';
import { Nginx } from '../../test/support/nginx.ts';
import { makeTempDir, type TempDir } from '../../test/support/temp-dir.ts';
import { ClusterNetwork } from './network.ts';

export const node = 'node1';
export const nodeAddress = '10.9.0.100';
export const mac = '52:54:00:00:00:01';
export const passwordHash = '$6$saltsalt$QUmOXLuUpRJvzaKpuAEvTkmHE4Ssi1bBSJB8obXcZeKk';
const memberAddress = '10.9.0.1';
const imageAddresses = ['10.9.0.2', '10.9.0.3', '10.9.0.4'];

export class ClusterSite implements AsyncDisposable {
  readonly network: ClusterNetwork;
  readonly member: MemberServer;
  readonly images: readonly Nginx[];
  /** Keys of its TLS connections, which Node.js writes down. */
  readonly keyLog: string;
  readonly #temp: TempDir;

  private constructor(network: ClusterNetwork, member: MemberServer, images: readonly Nginx[], temp: TempDir) {
    this.network = network;
    this.member = member;
    this.images = images;
    this.keyLog = keyLogIn(temp.path);
    this.#temp = temp;
  }

  /** The profile's, as it is boot from first. */
  get profile(): string {
    return join(this.member.tree, 'public/os/demo');
  }

  get siteArchive(): string {
    return join(this.member.tree, 'public/site/initramfs.cpio');
  }

  static async make(packed: Profile): Promise<ClusterSite> {
    const network = new ClusterNetwork();
    const temp = makeTempDir('cluster');
    // Its user must get to its tree; all of that is the sandbox's.
    for (const directory of [temp.path, dirname(temp.path)]) chmodSync(directory, 0o711);
    mkdirSync(join(temp.path, 'keys'));
    const tree = join(temp.path, 'tree');
    mkdirSync(join(tree, 'public/os'), { recursive: true });
    mkdirSync(join(tree, 'private/os/demo/pending'), { recursive: true });
    execFileSync('cp', ['-a', '--reflink=auto', packed.directory, join(tree, 'public/os/demo')]);
    execFileSync('sh', ['-c', `cp ${join(packed.keyFile, '..')}/* ${join(tree, 'private/os/demo/pending')}/`]);
    execFileSync('chown', ['-R', memberUser, tree, join(temp.path, 'keys')]);
    const member = await MemberServer.startAs({
      launcher: network.add('api', memberAddress),
      nodeFlags: [`--tls-keylog=${keyLogIn(temp.path)}`],
      tree,
    });
    const images = await Promise.all(
      imageAddresses.map((address, index) =>
        Nginx.start({ address, publicDir: join(tree, 'public'), launcher: network.add(`image${index + 1}`, address) }),
      ),
    );
    await member.cli('site', ...imageAddresses.flatMap((address) => ['--image-member', address]));
    await member.cli('node', 'set', '--default', 'deployment.useinsecureprotocols=always');
    const network1 = [`net.hwaddr=${mac}`, `net.ipv4_address=${nodeAddress}/24`];
    await member.cli('node', 'add', node, ...network1, 'deployment.pendingprofile=demo');
    member.cliWith(`${passwordHash}\n`, 'node', 'set', node, '--root-password-file', '-');
    return new ClusterSite(network, member, images, temp);
  }

  /** For a file of the demo's own. */
  path(name: string): string {
    return join(this.#temp.path, name);
  }

  /** known_hosts with nothing but the authority. */
  async knownHosts(): Promise<string> {
    const known = this.path('known_hosts');
    writeFileSync(known, await this.member.cli('ca', 'export', 'ssh'));
    return known;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.member[Symbol.asyncDispose]();
    await Promise.all(this.images.map((image) => image[Symbol.asyncDispose]()));
    this.#temp.remove();
  }
}

function keyLogIn(directory: string): string {
  return join(directory, 'keys/tls.log');
}
