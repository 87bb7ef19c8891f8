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
  members: readonly Member[];
  time: TimeSource;
  verification: Verification | undefined;
  /** While true, members are asked at the pace of an outage. */
  urgent: () => boolean;
  onObserved: (member: Member, observation: Observation) => void;
  onFault: (member: Member, fault: MemberFault) => void;
}

export class Prober {
  readonly #options: ProberOptions;
  /** Cancellers of the probes to come. */
  readonly #scheduled = new Map<Member, () => void>();
  readonly #underWay = new Set<Member>();
  #closed = false;

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Asks every member now. */
  start(): void {
    for (const member of this.#options.members) void this.#probe(member);
  }

  /** The member's health changed, or an outage began: sets the time of its next probe anew. */
  schedule(member: Member): void {
    this.#scheduled.get(member)?.();
    this.#scheduled.delete(member);
    if (this.#closed || member.state === 'up' || this.#underWay.has(member)) return;
    const { time, urgent } = this.#options;
    const delay = member.health.probeDelay(time.random(), urgent());
    this.#scheduled.set(
      member,
      time.after(delay, () => void this.#probe(member)),
    );
  }

  close(): void {
    this.#closed = true;
    for (const cancel of this.#scheduled.values()) cancel();
    this.#scheduled.clear();
  }

  async #probe(member: Member): Promise<void> {
    const { time, verification, onObserved, onFault } = this.#options;
    this.#scheduled.delete(member);
    this.#underWay.add(member);
    try {
      const observation = await probe(member, time, verification);
      if (!this.#closed) onObserved(member, observation);
    } catch (error) {
      if (!this.#closed) onFault(member, asFault(member, error));
    } finally {
      this.#underWay.delete(member);
      this.schedule(member);
    }
  }
}

/** A probe is where a defect of ours must not end the probing: it is shown as the member's reason instead. */
function asFault(member: Member, error: unknown): MemberFault {
  if (error instanceof MemberFault) return error;
  return new MemberFault('protocol', member.url.text, `cannot be probed: ${describeError(error)}`, { cause: error });
}
