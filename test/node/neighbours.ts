/** A real member and, in a network namespace of its own, a node beside it: n1, with what an initramfs has of the site. */
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MemberServer } from '../support/member.ts';
import { makeTempDir, sharedDirectory, type TempDir } from '../support/temp-dir.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('as-node.ts', import.meta.url));
const mac = '52:54:00:12:34:56';

export const nodeAddress = '10.7.0.5';
export const memberAddress = '10.7.0.1';
/** Of ours, too, where a second one can be. */
export const otherMember = '10.7.0.2';

/** The node's network namespace. */
export const netns = 'node';

export interface NodeMachine {
  /** Its clock. */
  at?: string | undefined;
  env?: NodeJS.ProcessEnv;
}

export class Neighbours implements AsyncDisposable {
  readonly member: MemberServer;
  readonly #temp: TempDir;

  private constructor(member: MemberServer, temp: TempDir) {
    this.member = member;
    this.#temp = temp;
  }

  /** @param extra options of `collective run`. */
  static async make(...extra: string[]): Promise<Neighbours> {
    const temp = makeTempDir('neighbours');
    execFileSync('sh', [
      '-ec',
      `ip netns add node
       ip link add v0 type veth peer name v1 netns node
       ip addr add ${memberAddress}/24 dev v0 && ip addr add ${otherMember}/24 dev v0 && ip link set v0 up
       ip -n node link set v1 address ${mac} && ip -n node addr add ${nodeAddress}/24 dev v1 && ip -n node link set v1 up && ip -n node link set lo up`,
    ]);
    const member = await MemberServer.start(...extra);
    member.profile('demo', { 'profile.yaml': 'label: Demo\n' });
    const network = [`net.hwaddr=${mac}`, `net.ipv4_address=${nodeAddress}/24`];
    await member.cli('node', 'add', 'n1', ...network, 'deployment.pendingprofile=demo');
    const made = new Neighbours(member, temp);
    made.unpackArchive();
    return made;
  }

  /** Where the initramfs' files of the site are. */
  get trust(): string {
    return this.#temp.path;
  }

  /** As the kernel does with the site archive. */
  unpackArchive(): void {
    const archive = `${this.member.tree}/public/site/initramfs.cpio`;
    execFileSync('sh', ['-c', `cd ${this.trust} && cpio --quiet -idu <${archive}`]);
  }

  /** What a node makes of it (as-node.ts), in its network namespace. @throws Error before the test's own time is over, when it waits for what does not come. */
  async asNode<T>(what: string, words: object = {}, { at, env = {} }: NodeMachine = {}): Promise<T> {
    const clock = at === undefined ? [] : ['faketime', at];
    const node = [...clock, process.execPath, script, what, this.trust, JSON.stringify(words)];
    const { stdout } = await run('ip', ['netns', 'exec', netns, 'timeout', '--signal=KILL', '110', ...node], {
      // Compiled once a run.
      env: { ...process.env, NODE_COMPILE_CACHE: join(sharedDirectory, 'as-node'), ...env },
    });
    return JSON.parse(stdout) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.member[Symbol.asyncDispose]();
    execFileSync('sh', ['-c', 'ip netns del node; umount /run/netns']);
    this.#temp.remove();
  }
}
