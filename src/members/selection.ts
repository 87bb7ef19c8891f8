/**
 * Which member gets the next span: the one expected to deliver it first, among those of the best health class. Members
 * within a tie of the best are drawn by lot, so that a thousand nodes that see the same members do not all pick the same.
 */
import type { MemberState } from './contract.ts';

export interface Candidate {
  readonly state: MemberState;
  /** Whether it may take one more request now. */
  readonly hasRoom: boolean;
  /** Expected ms until the span has come, queue included. */
  expectedMs(bytes: number): number;
}

/** Members this much slower than the best count as equal. */
const tie = 1.15;

/** The states in which a member may serve, best first. */
const servingStates: readonly MemberState[] = ['up', 'suspect'];

/** The candidates of the best serving state that any has; empty in an outage. */
export function healthiest<C extends Candidate>(candidates: readonly C[]): C[] {
  for (const state of servingStates) {
    const ofState = candidates.filter((candidate) => candidate.state === state);
    if (ofState.length > 0) return ofState;
  }
  return [];
}

/**
 * The member for `bytes` more, from a draw `random` in [0, 1). Undefined when none may serve, or those that serve best have no room: better
 * to wait for them than to ask one of whom no good is known.
 */
export function select<C extends Candidate>(candidates: readonly C[], bytes: number, random: number): C | undefined {
  const scored = healthiest(candidates)
    .filter((candidate) => candidate.hasRoom)
    .map((candidate) => ({ candidate, ms: candidate.expectedMs(bytes) }));
  const best = Math.min(...scored.map(({ ms }) => ms));
  const tied = scored.filter(({ ms }) => ms <= best * tie);
  return tied[Math.floor(random * tied.length)]?.candidate;
}
