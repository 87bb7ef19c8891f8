/**
 * From a list of URLs to a collective that serves: asks all members at once, and is ready as soon as it knows what the image
 * is. The others join when they have shown the same.
 */
import type { FileUrl } from '../base/file-url.ts';
import type { Log } from '../base/log.ts';
import type { TimeSource } from '../base/time-source.ts';
import { jittered } from '../base/time-source.ts';
import { MemberCollective } from './collective.ts';
import type { Collective, Sidecar } from './contract.ts';
import { type MemberFault, NoMemberError, NoValidTreeError } from './errors.ts';
import { type Examine, type Examined, isCutOff, majority, type Observation, type Verification } from './identity.ts';
import type { Member } from './member.ts';
import { MemberMaker } from './member-maker.ts';
import { memberUrls } from './member-url.ts';
import type { OutagePolicy } from './outage.ts';
import { fetchSidecar, noAnswer, usualStallMs } from './sidecar.ts';

export interface OpenOptions {
  /** URLs of the same image on each member; the order only breaks ties. */
  urls: readonly FileUrl[];
  /**
   * Digest of the image, 64 hexadecimal digits, if it is known: members are asked for the file of that name first
   * (`rootimg-DIGITS.sfs`), and for the name in their URL when that does not prove right.
   */
  digest?: string | undefined;
  /** PEM certificates of the CAs to believe instead of the system's. */
  ca?: readonly string[] | undefined;
  /**
   * With a digest: the file beside the image that holds its hash tree, fetched first. `accept` checks it against the digest and
   * returns how to check the image with it; what it throws is a member's reason in NO_VALID_TREE. Without a digest the members are
   * only compared with each other.
   */
  sidecar?: Sidecar<Verification> | undefined;
  /** Without a digest: whether a file can be an image at all. */
  examine?: Examine | undefined;
  /**
   * How long to try until a member serves, in ms: 0 is one pass over the members, undefined for ever. Unless it is for ever, it ends at once when all members say what time
   * does not mend.
   */
  mountTimeoutMs: number | undefined;
  onOutage: OutagePolicy;
  /** How often members are asked for a byte although nobody reads, in ms ± a quarter; an hour unless said otherwise. */
  heartbeatMs?: number | undefined;
  /** Told of our own defects, which no member is to blame for; unless said otherwise they are uncaught exceptions. */
  onDefect?: ((error: unknown) => void) | undefined;
  log: Log;
  time: TimeSource;
}

export interface ImageIdentity {
  /** Bytes of the image as served. */
  readonly imageSize: number;
  /** Its first bytes as served: 4096 or more, fewer when the image is shorter. Verified when there is a digest. */
  readonly head: Uint8Array;
  /** Its last bytes as served: 4096 or fewer, or its last block. */
  readonly tail: Uint8Array;
  readonly lastModified: Date | undefined;
}

export interface OpenedCollective {
  readonly collective: Collective;
  readonly identity: ImageIdentity;
}

/** Without a digest, how long the members that are slower than the first have to take part in the vote. */
const voteMs = 200;
/** Between two passes over the members for a sidecar, ±50 %. */
const sidecarPauseMs = 600;

/** @throws UsageError for a CA that is none, NoMemberError, NoValidTreeError. */
export async function openCollective(options: OpenOptions): Promise<OpenedCollective> {
  const { digest, ca, sidecar, log, time } = options;
  const maker = new MemberMaker({ digest, ca, time });
  const members = memberUrls(options.urls).map((url) => maker.make(url));
  const patience = new Patience(options.mountTimeoutMs, time);
  // timers do not hold the process (TimeSource): until there is a mount, something must
  const hold = setInterval(() => {}, 60_000);
  try {
    const verification = sidecar && (await findSidecar(members, sidecar, patience, log, time));
    return await identifyImage({ members, maker }, verification, patience, options);
  } catch (error) {
    for (const member of members) member.pool.close();
    throw error;
  } finally {
    clearInterval(hold);
  }
}

async function findSidecar(
  members: readonly Member[],
  sidecar: Sidecar<Verification>,
  patience: Patience,
  log: Log,
  time: TimeSource,
): Promise<Verification> {
  const exhausted = new AbortController();
  const cancel = patience.onceExhausted(() => exhausted.abort());
  let timedOut = 0;
  /** Why, as each member last said it: the last pass may be cut short. */
  const told = new Map<string, string>();
  for (;;) {
    const began = time.now();
    const result = await fetchSidecar(members, sidecar, { time, signal: exhausted.signal, timedOut });
    if ('accepted' in result) {
      cancel();
      return result.accepted;
    }
    if (time.now() - began >= usualStallMs) timedOut++;
    for (const [url, reason] of result.refusals) if (reason !== noAnswer || !told.has(url)) told.set(url, reason);
    const reasons = [...told].map(([url, reason]) => `${url} (${reason})`).join('; ');
    if ((result.final && !patience.isEndless) || patience.exhausted)
      throw new NoValidTreeError(reasons, result.missing);
    if (patience.worthSaying(reasons)) log.warn(`no member serves the hash tree of the digest yet: ${reasons}`);
    await new Promise<void>((resolve) => time.after(jittered(time, sidecarPauseMs), resolve));
  }
}

async function identifyImage(
  { members, maker }: { members: readonly Member[]; maker: MemberMaker },
  verification: Verification | undefined,
  patience: Patience,
  { onOutage, heartbeatMs, onDefect, examine, log, time }: OpenOptions,
): Promise<OpenedCollective> {
  const answers = new Map<Member, Observation>();
  /** What their headers tell of them. */
  const looks = new Map<Observation, Examined>();
  const unanswered = new Map<Member, MemberFault>();
  const chosen = Promise.withResolvers<Observation>();
  let cancelVote: (() => void) | undefined;

  const inOrder = () => members.flatMap((member) => answers.get(member) ?? []);
  const vote = () => {
    const all = inOrder();
    const anyKnown = [...looks.values()].some((look) => look !== 'unknown');
    const votes = anyKnown ? all.filter((one) => looks.get(one) !== 'unknown') : all;
    const image = majority(votes.filter((one) => looks.get(one) !== 'unbounded' || !isCutOff(one, votes)));
    if (image !== undefined) chosen.resolve(image);
  };
  /** Nobody serves it: for good, as far as can be seen, or for now. */
  const onNobody = () => {
    const faults = [...unanswered.values()];
    const isFinal = !patience.isEndless && faults.every(({ transient }) => !transient);
    if (isFinal || patience.exhausted) chosen.reject(noMember());
    else if (patience.worthSaying(collective.reasons())) {
      log.warn(`no member serves the image yet: ${collective.reasons()}`);
    }
  };
  const noMember = () => {
    const noImage = [...unanswered.values()].some(({ kind }) => kind === 'format');
    return new NoMemberError(collective.reasons(), noImage ? 'IMAGE_FORMAT' : 'NO_MEMBER');
  };
  const collective = new MemberCollective({
    members,
    maker,
    verification,
    examine: verification === undefined ? examine : undefined,
    onOutage,
    heartbeatMs,
    onDefect,
    log,
    time,
    onCandidate(member, observation, examined) {
      answers.set(member, observation);
      unanswered.delete(member);
      looks.set(observation, examined);
      // what the digest confirms needs no vote
      if (verification !== undefined || answers.size + unanswered.size === members.length) vote();
      else cancelVote ??= time.after(voteMs, vote);
    },
    onUnanswered(member, fault) {
      unanswered.set(member, fault);
      if (answers.size > 0 && answers.size + unanswered.size === members.length) vote();
      if (unanswered.size === members.length) onNobody();
    },
  });
  const cancelTimeout = patience.onceExhausted(() => chosen.reject(noMember()));
  try {
    collective.start();
    const image = await chosen.promise;
    collective.identify(image, answers, unanswered);
    return { collective, identity: { ...image, lastModified: parseDate(image.pin.lastModified) } };
  } catch (error) {
    await collective.close();
    throw error;
  } finally {
    cancelTimeout();
    cancelVote?.();
  }
}

/** How long an open goes on, and how often it says that it still does. */
class Patience {
  readonly #timeoutMs: number | undefined;
  readonly #time: TimeSource;
  readonly #startedAt: number;
  #saidAt = Number.NEGATIVE_INFINITY;
  #said = '';

  constructor(timeoutMs: number | undefined, time: TimeSource) {
    this.#timeoutMs = timeoutMs;
    this.#time = time;
    this.#startedAt = time.now();
  }

  /** Whoever waits for ever waits also for what only an administrator can mend. */
  get isEndless(): boolean {
    return this.#timeoutMs === undefined;
  }

  get exhausted(): boolean {
    return this.#timeoutMs !== undefined && this.#elapsed >= this.#timeoutMs;
  }

  /** What has not been said yet, a second apart at least; else once a minute. */
  worthSaying(reasons: string): boolean {
    // A time that grows, or one of a name's addresses in turn, is nothing new.
    const what = reasons.replace(/\d+(\.\d+)*/g, '0').replace(/at [0-9a-f:.]+ port/g, 'at port');
    const pause = what === this.#said ? 60_000 : 1_000;
    if (this.#elapsed - this.#saidAt < pause) return false;
    this.#saidAt = this.#elapsed;
    this.#said = what;
    return true;
  }

  /** Calls back when the time is up; never for one pass (0), which ends when every member has been asked. */
  onceExhausted(callback: () => void): () => void {
    if (this.#timeoutMs === undefined || this.#timeoutMs === 0) return () => {};
    return this.#time.after(Math.max(0, this.#timeoutMs - this.#elapsed), callback);
  }

  get #elapsed(): number {
    return this.#time.now() - this.#startedAt;
  }
}

/** Of an HTTP header (RFC 9110, 5.6.7: it begins with the name of a day); undefined for what is none, or before 1970. */
function parseDate(text: string | undefined): Date | undefined {
  const ms = Date.parse(/^\s*[a-z]{3,9},? /i.test(text ?? '') ? (text ?? '') : '');
  return ms > 0 ? new Date(ms) : undefined;
}
