/**
 * A collective that goes on where that of another process ended: the image is known, and so are the members. Nothing is waited for; members
 * that were in use are used at once, each pinned to the file it was identified with.
 */
import { MemberCollective } from './collective.ts';
import type { Collective } from './contract.ts';
import type { Verification } from './identity.ts';
import { MemberMaker } from './member-maker.ts';
import type { MemberMemory } from './member-memory.ts';
import { memberUrls } from './member-url.ts';
import type { OpenOptions } from './open.ts';

export interface ResumeOptions extends Pick<OpenOptions, 'urls' | 'digest' | 'ca' | 'onOutage' | 'log' | 'time'> {
  /** What the image is; its first and last bytes tell members apart where there is no verification. */
  image: { readonly imageSize: number; readonly head: Uint8Array; readonly tail: Uint8Array };
  verification: Verification | undefined;
  /** What is known of members, by URL; the others are asked who they are. */
  members: readonly MemberMemory[];
}

/** @throws UsageError for a CA that is none. */
export function resumeCollective({ urls, digest, ca, image, members, ...options }: ResumeOptions): Collective {
  const maker = new MemberMaker({ digest, ca, time: options.time });
  const known = new Map(members.map((memory) => [memory.url, memory]));
  const resumed = memberUrls(urls).map((url) => {
    const member = maker.make(url);
    const memory = known.get(url.given);
    if (memory !== undefined) member.recall(memory);
    return member;
  });
  const collective = new MemberCollective({
    ...options,
    members: resumed,
    maker,
    onCandidate: () => {},
    onUnanswered: () => {},
  });
  collective.resume(image);
  return collective;
}
