/**
 * A network of member machines around this one: for each member a network namespace and a cable of its own, as on a switch that is
 * faster than they are. Rate, delay, loss and silence of each can be changed while it is in use. Kernel TCP runs on both ends.
 * docs/network-emulator.md says what it can and how well.
 *
 * Must run in a sandbox (scripts/sandbox), so that its addresses are nobody else's.
 */
import type { Cable, LinkSettings, MakeCable, WireCounters } from './cable.ts';
import { makeEmulatedCable } from './emulated-cable.ts';
import { hasNetem, makeNetemCable } from './netem-cable.ts';
import { run } from './run.ts';

export type { LinkSettings, WireCounters } from './cable.ts';

export interface MemberLink {
  /** The member's address, and ours on the same link. */
  readonly address: string;
  readonly ourAddress: string;
  /** Words that put a command into the member's namespace. */
  readonly launcher: readonly string[];
  /** As they are now. */
  readonly settings: Readonly<Required<LinkSettings>>;
  /** Holds for what is sent from now on; what is not named stays. */
  change(settings: Partial<LinkSettings>): Promise<void>;
  /** Swallows everything from now on, both ways, without a word to anybody: a black hole. */
  silence(): Promise<void>;
  /** Ends `silence`. */
  restore(): Promise<void>;
  wire(): Promise<{ toMember: WireCounters; fromMember: WireCounters }>;
}

export interface Network extends AsyncDisposable {
  readonly links: MemberLink[];
}

export type Backend = 'netem' | 'emulator';

/** One link for each entry; members are 10.77.1.2, 10.77.2.2, … */
export async function makeNetwork(
  links: readonly LinkSettings[],
  backend: Backend = hasNetem() ? 'netem' : 'emulator',
): Promise<Network> {
  if (process.env['TETHERFS_SANDBOX'] === undefined) throw new Error('run it by scripts/bench, which makes a sandbox');
  await using made = new AsyncDisposableStack();
  const makeCable: MakeCable = backend === 'netem' ? makeNetemCable : makeEmulatedCable;
  const found: MemberLink[] = [];
  for (const [i, settings] of links.entries()) {
    const cable = await makeCable(i + 1);
    made.defer(() => cable.close());
    found.push(await makeLink(i + 1, cable, { loss: 0, queueMs: 30, ...settings }));
  }
  const cables = made.move();
  return { links: found, [Symbol.asyncDispose]: () => cables.disposeAsync() };
}

async function makeLink(number: number, cable: Cable, initial: Required<LinkSettings>): Promise<MemberLink> {
  const { nodeDevice, memberDevice, namespace } = cable;
  const [ourAddress, address, subnet] = [`10.77.${number}.1`, `10.77.${number}.2`, `10.77.${number}.0/24`];
  const launcher = ['nsenter', `--net=${namespace}`, '--'];
  setUpEnd([], nodeDevice, ourAddress, subnet);
  setUpEnd(launcher, memberDevice, address, subnet);
  let settings = initial;
  await cable.set(settings);
  return {
    address,
    ourAddress,
    launcher,
    get settings() {
      return settings;
    },
    async change(changes) {
      settings = { ...settings, ...changes };
      await cable.set(settings);
    },
    silence: () => cable.silence(true),
    restore: () => cable.silence(false),
    wire: () => cable.counters(),
  };
}

function setUpEnd(launcher: readonly string[], device: string, address: string, subnet: string): void {
  // No IPv6 of their own accord: the counters are of what we sent. The longer queue of the device itself never fills, so that
  // every drop is the cable's.
  run(...launcher, 'ip', 'link', 'set', device, 'mtu', '1500', 'txqueuelen', '5000', 'addrgenmode', 'none', 'up');
  run(...launcher, 'ip', 'link', 'set', 'lo', 'up');
  run(...launcher, 'ip', 'address', 'add', `${address}/24`, 'dev', device);
  // What most machines use; a site's default of BBR would measure its own start-up instead of us. Namespaces may not set
  // the default, but a route's own they may.
  run(...launcher, 'ip', 'route', 'replace', subnet, 'dev', device, 'src', address, 'congctl', 'cubic');
  // A connection must not begin with what an earlier run has learnt.
  run(...launcher, 'sysctl', '--quiet', '--write', 'net.ipv4.tcp_no_metrics_save=1');
}
