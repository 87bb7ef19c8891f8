/**
 * Probes every member that is not up, each on its own jittered schedule (health.ts), one probe at a time. It only asks; what
 * the answer means is the collective's business.
 */
import { describeError } from '../base/errors.ts';
import type { TimeSource } from '../base/time-source.ts';
import { MemberFault } from './errors.ts';
import type { Observation, Verification } from './identity.ts';
import type { Member } from './member.ts';
import { probe } from './probe.ts';

export interface ProberOptions {
  /** As they are at the moment. */
  members: readonly Member[];
  time: TimeSource;
  verification: Verification | undefined;
  /** While true, members are asked at the pace of an outage. */
  urgent: () => boolean;
  onObserved: (member: Member, observation: Observation) => void;
  onFault: (member: Member, fault: MemberFault) => void;
  /** How a member is asked; probe.ts unless said otherwise. */
  ask?: typeof probe;
}

export class Prober {
  readonly #options: ProberOptions;
  /** Cancellers of the probes to come. */
  readonly #scheduled = new Map<Member, () => void>();
  readonly #underWay = new Set<Member>();
  /** Aborted while nobody is to be probed; a probe listens to the one it began under. */
  #session = new AbortController();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Asks every member now. Also after `stop`. */
  start(): void {
    this.stop();
    this.#session = new AbortController();
    for (const member of this.#options.members) void this.#probe(member);
  }

  /** Asks one that has come. While nobody is asked, neither is it. */
  begin(member: Member): void {
    if (!this.#session.signal.aborted) void this.#probe(member);
  }

  /** It is a member no more: what it still answers is nobody's business. */
  forget(member: Member): void {
    this.#scheduled.get(member)?.();
    this.#scheduled.delete(member);
  }

  /** The member's health changed, or an outage began: sets the time of its next probe anew. */
  schedule(member: Member): void {
    this.#schedule(member, 0);
  }

  /** @param spentMs how long the last probe took: in an outage the next one begins so much sooner, because readers wait for it. */
  #schedule(member: Member, spentMs: number): void {
    this.#scheduled.get(member)?.();
    this.#scheduled.delete(member);
    if (this.#session.signal.aborted || member.state === 'up' || this.#underWay.has(member)) return;
    if (!this.#options.members.includes(member)) return;
    const { time, urgent } = this.#options;
    const outage = urgent();
    const delay = Math.max(0, member.health.probeDelay(time.random(), outage) - (outage ? spentMs : 0));
    this.#scheduled.set(
      member,
      time.after(delay, () => void this.#probe(member)),
    );
  }

  /** Asks nobody any more, and hears nothing of what is under way. Connections are not its own to close. */
  stop(): void {
    this.#session.abort();
    for (const cancel of this.#scheduled.values()) cancel();
    this.#scheduled.clear();
    this.#underWay.clear();
  }

  async #probe(member: Member): Promise<void> {
    const { time, verification, onObserved, onFault, ask = probe } = this.#options;
    const startedAt = time.now();
    const { signal } = this.#session;
    this.#scheduled.delete(member);
    this.#underWay.add(member);
    try {
      const observation = await ask(member, time, verification, signal);
      if (!signal.aborted) onObserved(member, observation);
    } catch (error) {
      if (!signal.aborted) onFault(member, asFault(member, error));
    } finally {
      if (!signal.aborted) {
        this.#underWay.delete(member);
        this.#schedule(member, time.now() - startedAt);
      }
    }
  }
}

/** A probe is where a defect of ours must not end the probing. */
function asFault(member: Member, cause: unknown): MemberFault {
  if (cause instanceof MemberFault) return cause;
  return new MemberFault('defect', member.url.text, `cannot be probed: ${describeError(cause)}`, { cause });
}
