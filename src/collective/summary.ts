/** What a member says when it has started: what it has made, and what there is to do. */
import { discoveryPort } from '../protocol/discovery.ts';
import { grantPort } from '../protocol/grant.ts';
import type { MemberOptions } from './member-options.ts';

export interface SummaryFacts {
  options: MemberOptions;
  member: string;
  uuid: string;
  isNew: boolean;
  made: readonly string[];
  linked: readonly string[];
  count: number;
}

/** In lines. */
export function summaryOf({ options, member, uuid, isNew, made, linked, count }: SummaryFacts): string[] {
  const { state, tree } = options.places;
  const { socket, httpsPort, httpPort } = options;
  const listening = [
    ...(socket === undefined ? [] : [`${socket}, for a proxy`]),
    ...(socket !== undefined || httpsPort === 0 ? [] : [`HTTPS on port ${httpsPort}`]),
    ...(socket !== undefined || httpPort === 0 ? [] : [`HTTP on port ${httpPort}, the public part alone`]),
    ...(options.grants ? [`grants on port ${grantPort}`] : []),
    ...(options.discovery ? [`discovery on port ${discoveryPort}`] : []),
    ...(options.metrics === undefined ? [] : [`metrics on ${options.metrics}`]),
  ];
  return [
    `member ${member} of site ${uuid}`,
    `state: ${state}${isNew ? ' (new: back up master.key and the store, separately; "tetherfs collective backup --help")' : ''}`,
    ...(made.length > 0 ? [`made: authorities for ${made.join(' and ')}`] : []),
    `images: ${tree}/public/os, their keys: ${tree}/private/os`,
    `listens: ${listening.join('; ')}`,
    ...(linked.length > 0 ? [`site archive linked into ${linked.join(', ')}: nodes must boot with it`] : []),
    count === 0
      ? 'next: tetherfs collective node add NODE net.hwaddr=52:54:00:12:34:56 deployment.pendingprofile=PROFILE; tetherfs collective node arm NODE once'
      : `nodes: ${count}`,
  ];
}
