/**
 * Many clients of one member on one clock: it goes out under all of them at the same moment, and comes back. Real health and probe
 * schedules, no network: how many return within how little time is a matter of the schedules alone.
 */
import { parseFileUrl } from '../../src/base/file-url.ts';
import { MemberFault } from '../../src/members/errors.ts';
import { Member } from '../../src/members/member.ts';
import { memberUrl } from '../../src/members/member-url.ts';
import { Prober } from '../../src/members/prober.ts';
import { VirtualTime } from './virtual-time.ts';

export interface HerdOptions {
  clients: number;
  /** How long the member is out, in ms. */
  outMs: number;
  /** Whether it says at once that it is out, or nothing at all. */
  silent: boolean;
  /** Whether it is the only member: then readers wait, and it is probed at the pace of an outage. */
  only?: boolean;
  random?: () => number;
}

export interface Herd {
  /** ms from the moment the member is back until each client uses it again, ascending. */
  returns: number[];
  /** The most that return within any 100 ms. */
  most: number;
}

const answerMs = 2;
const givesUpMs = 250;
/** Long enough that nobody remembers an earlier fault; and how long is waited for the last to return. */
const wellMs = 60_000;
const horizonMs = 20_000;
const windowMs = 100;

export async function simulateHerd({ clients, outMs, silent, only = false, random }: HerdOptions): Promise<Herd> {
  const time = new VirtualTime(random);
  const returns: number[] = [];
  const backAt = wellMs + outMs;
  const answer = (ms: number) => new Promise<void>((resolve) => void time.after(ms, resolve));
  for (let i = 0; i < clients; i++) {
    const member = new Member(memberUrl(parseFileUrl('http://10.0.0.1/rootimg.sfs')), time, undefined);
    const { file, health } = member;
    // as the collective does it
    const prober = new Prober({
      members: [member],
      time,
      verification: undefined,
      urgent: () => only,
      async ask() {
        const out = time.now() < backAt;
        await answer(out && silent ? givesUpMs : answerMs);
        if (out) throw new MemberFault(silent ? 'timeout' : 'connect', member.url.text, 'is out');
        const nothing = new Uint8Array();
        const pin = { etag: undefined, lastModified: undefined };
        return { file, imageSize: 0, head: nothing, tail: nothing, pin, contentType: undefined };
      },
      onObserved() {
        health.identified(time.now());
        returns.push(time.now() - backAt);
      },
      onFault(_member, { kind, what }) {
        health.probeFailed();
        if (health.fault(kind, what, time.now())) prober.schedule(member);
      },
    });
    health.identified(0);
    time.after(wellMs, () => {
      health.fault(silent ? 'timeout' : 'connect', 'is out', time.now());
      prober.schedule(member);
    });
  }
  await time.goOnUntil(backAt + horizonMs);
  returns.sort((a, b) => a - b);
  return { returns, most: mostWithin(returns, windowMs) };
}

/** The most of these moments (ascending) that lie within `width` of each other. */
function mostWithin(moments: readonly number[], width: number): number {
  let most = 0;
  for (let last = 0, first = 0; last < moments.length; last++) {
    while ((moments[last] ?? 0) - (moments[first] ?? 0) > width) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}
