export { type AuthorityOptions, authoritiesFor, givenAuthorities } from './authorities.ts';
export type * from './contract.ts';
export { memberStates } from './contract.ts';
export {
  type FaultKind,
  FetchCancelled,
  FetchFailedError,
  faultKinds,
  MemberFault,
  NoMemberError,
  NoValidTreeError,
  OutageError,
} from './errors.ts';
export { notAskedYet } from './health.ts';
export type { Verification } from './identity.ts';
export { type MemberMemory, memberMemorySchema } from './member-memory.ts';
export { type MemberUrl, memberUrl, memberUrls } from './member-url.ts';
export { type ImageIdentity, type OpenedCollective, type OpenOptions, openCollective } from './open.ts';
export type { OutagePolicy } from './outage.ts';
export { type ResumeOptions, resumeCollective } from './resume.ts';
export { fetchSmallFile, ServedFile, type ServedFileOptions, type SmallFileOptions } from './served-file.ts';
export { type TimedAnswer, TimedMember, type TimedRead } from './timed-member.ts';
export { systemCas } from './trust.ts';
