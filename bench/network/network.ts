/**
 * A network of member machines around this one, made of what every kernel has: for each member a network namespace and a veth
 * pair whose both ends are slowed by a token bucket (tc-tbf). No bridge: each member's link is its own, as on a switch that
 * is faster than they are. Round trips are those of veth, some 0.05 ms; there is no netem here to lengthen them.
 *
 * Must run in a sandbox (scripts/sandbox), whose end is the network's end.
 */
import { execFileSync } from 'node:child_process';

export interface MemberLink {
  /** The member's address, and ours on the same link. */
  readonly address: string;
  readonly ourAddress: string;
  /** Bits a second, as tc was told. */
  readonly bitsPerSecond: number;
  /** Words that put a command into the member's namespace. */
  readonly launcher: readonly string[];
  /** Drops everything that the member sends from now on, without a word to anybody: a black hole. */
  silence(): void;
  /** Ends `silence`. */
  restore(): void;
}

/**
 * How a link's token bucket cuts what it lets through.
 *
 * `fine`: 8 KiB may go at once after a pause, so that a 64 KiB block takes its wire time on an idle link too (with 64 KiB half of
 * its 1.75 ms at 300 Mbit/s were missing). It costs: every packet goes through the kernel by itself, and three such links at full
 * rate keep both cores of a small machine busy with nothing else.
 * `coarse`: 128 KiB, so that the kernel's 64 KiB segments pass whole, as they do where a network card does the cutting. The same rate;
 * for measuring throughput.
 */
export type Shaping = 'fine' | 'coarse';
const bursts: Record<Shaping, string> = { fine: '8kb', coarse: '128kb' };
/** Longest that a packet may queue before it is dropped: a switch's buffer, about 1 MB at 300 Mbit/s. */
const queue = '30ms';

/** One link for each rate, in Mbit/s; members are 10.77.1.2, 10.77.2.2, … */
export function makeNetwork(megabits: readonly number[], shaping: Shaping): MemberLink[] {
  if (process.env['TETHERFS_SANDBOX'] === undefined) throw new Error('run it by scripts/bench, which makes a sandbox');
  return megabits.map((rate, i) => makeLink(i + 1, rate, bursts[shaping]));
}

function makeLink(number: number, megabits: number, burst: string): MemberLink {
  const namespace = `m${number}`;
  const [here, there] = [`to-${namespace}`, 'eth0'];
  const ourAddress = `10.77.${number}.1`;
  const address = `10.77.${number}.2`;
  const launcher = ['nsenter', `--net=/run/netns/${namespace}`, '--'];
  run('ip', 'netns', 'add', namespace);
  run('ip', 'link', 'add', here, 'type', 'veth', 'peer', 'name', there, 'netns', namespace);
  run('ip', 'address', 'add', `${ourAddress}/24`, 'dev', here);
  run('ip', 'link', 'set', here, 'up');
  run('ip', '-n', namespace, 'address', 'add', `${address}/24`, 'dev', there);
  run('ip', '-n', namespace, 'link', 'set', there, 'up');
  run('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
  // What most machines use; a site's default of BBR would measure its own start-up instead of us. Namespaces may not set
  // the default, but a route's own they may.
  const subnet = `10.77.${number}.0/24`;
  run('ip', 'route', 'replace', subnet, 'dev', here, 'src', ourAddress, 'congctl', 'cubic');
  run('ip', '-n', namespace, 'route', 'replace', subnet, 'dev', there, 'src', address, 'congctl', 'cubic');
  const bucket = ['root', 'tbf', 'rate', `${megabits}mbit`, 'burst', burst, 'latency', queue];
  run('tc', 'qdisc', 'add', 'dev', here, ...bucket);
  run('tc', '-n', namespace, 'qdisc', 'add', 'dev', there, ...bucket);
  return {
    address,
    ourAddress,
    bitsPerSecond: megabits * 1e6,
    launcher,
    silence: () => run('ip', '-n', namespace, 'route', 'add', 'blackhole', ourAddress),
    restore: () => run('ip', '-n', namespace, 'route', 'delete', 'blackhole', ourAddress),
  };
}

function run(...words: string[]): void {
  const [command = '', ...args] = words;
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
