/**
 * Who may get a key, and when the key is the node's. An arming admits one *promoted* key. What is granted is a candidate until it is first used; until then a
 * newer candidate of the same peer replaces it. So a lost last byte costs the node nothing, and what was granted to somebody who never uses it disarms
 * nothing. A request with the key that the node had before leaves an arming as it is: it is for the next boot. Pure: states in, states out.
 */

/** `until`: ms since 1970. */
export type ArmingMode = { kind: 'once' } | { kind: 'continuous' } | { kind: 'until'; until: number };

export interface Candidate {
  /** crypt(3) text. */
  hash: string;
  /** Address of whoever got it. */
  peer: string;
  /** ms since 1970. */
  at: number;
}

/** What a member keeps of a node's key. */
export interface GrantState {
  armed?: ArmingMode | undefined;
  /** crypt(3) text of the key that the node uses. */
  promoted?: string | undefined;
  candidate?: Candidate | undefined;
  /** Of a node that may prove itself from anywhere: sealed by the master key. Used once, unless it is armed continuously. */
  token?: string | undefined;
}

export interface Asking {
  peer: string;
  /** Link-local, local, or of a trusted subnet. */
  isTrusted: boolean;
  hasProof: boolean;
  /** ms since 1970. */
  now: number;
}

/** Why somebody gets no key; undefined when he may. A proof is checked later, against the token. */
export function refusal(grants: GrantState, { peer, isTrusted, hasProof, now }: Asking): string | undefined {
  if (hasProof && grants.token !== undefined)
    return grants.armed !== undefined && isExpired(grants.armed, now) ? 'its arming has expired' : undefined;
  // A node that keeps its token from an arming before asks like any other.
  if (!isTrusted) return 'it asks from an address that is neither local nor in trusted.subnets';
  if (grants.armed === undefined) return 'it is not armed';
  if (isExpired(grants.armed, now)) return 'its arming has expired';
  if (grants.candidate !== undefined && grants.candidate.peer !== peer && grants.armed.kind !== 'continuous') {
    return `this arming has given a key to ${grants.candidate.peer}, which has not used it yet: arm it again for another`;
  }
  return undefined;
}

function isExpired(armed: ArmingMode, now: number): boolean {
  return armed.kind === 'until' && armed.until <= now;
}

/** How it is armed at this moment; undefined when it is not, or no more. */
export function armedNow({ armed: mode }: GrantState, now: number): ArmingMode | undefined {
  return mode !== undefined && isExpired(mode, now) ? undefined : mode;
}

/** A key was given. */
export function granted(grants: GrantState, candidate: Candidate): GrantState {
  return { ...grants, candidate };
}

/** The candidate's key was used: it is the node's from now on. */
export function promoted(grants: GrantState): GrantState {
  const { candidate, armed, token } = grants;
  if (candidate === undefined) return grants;
  const stays = armed?.kind === 'continuous';
  return { promoted: candidate.hash, ...(stays && { armed }), ...(stays && token !== undefined && { token }) };
}

/** A new arming: what an earlier one has given, and nobody has used, is worth nothing any more. */
export function armed(grants: GrantState, mode: ArmingMode, token?: string): GrantState {
  return {
    armed: mode,
    ...(grants.promoted !== undefined && { promoted: grants.promoted }),
    ...(token !== undefined && { token }),
  };
}

export function disarmed({ promoted: hash }: GrantState): GrantState {
  return hash === undefined ? {} : { promoted: hash };
}

const days = 86_400_000;

/** `once`, `continuous`, or an end: `2026-12-01T08:00:00Z`, `2h`, `3d`. Undefined when it is none of these, or over. */
export function parseArming(text: string, now: number): ArmingMode | undefined {
  if (text === 'once' || text === 'continuous') return { kind: text };
  const [, count, unit] = /^([1-9]\d{0,4})(min|h|d)$/.exec(text) ?? [];
  if (count !== undefined) {
    const length = unit === 'd' ? days : unit === 'h' ? 3_600_000 : 60_000;
    return { kind: 'until', until: now + Number(count) * length };
  }
  const until = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN;
  return until > now ? { kind: 'until', until } : undefined;
}

/** As upstream's attribute deployment.apiarmed has it; empty for one that is not armed. */
export function formatArming(mode: ArmingMode | undefined): string {
  if (mode === undefined) return '';
  return mode.kind === 'until' ? new Date(mode.until).toISOString().replace(/\.\d+Z$/, 'Z') : mode.kind;
}
