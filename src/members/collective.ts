/**
 * The collective: wires members, health, probes, outage and fetches together. It alone turns what happens to a member into
 * its state, and says each change of state once on the log.
 */
import type { ByteRange } from '../base/byte-range.ts';
import { describeError, shownText } from '../base/errors.ts';
import type { FileUrl } from '../base/file-url.ts';
import type { Log } from '../base/log.ts';
import type { TimeSource } from '../base/time-source.ts';
import {
  type Collective,
  type CollectiveStatus,
  type FetchPriority,
  type FetchTarget,
  type MemberChange,
  type MemberState,
  memberStates,
  type NewMemberFacts,
  type Sidecar,
  type SidecarResult,
  type SpanFetch,
} from './contract.ts';
import { MemberFault, OutageError } from './errors.ts';
import { type FetchWorld, HedgedFetch } from './fetch.ts';
import { Heartbeat, usualHeartbeatMs } from './heartbeat.ts';
import { HedgeBudget } from './hedge-budget.ts';
import { type Examine, type Examined, type ImageEnds, judge, type Observation, type Verification } from './identity.ts';
import type { Member } from './member.ts';
import type { MemberMaker } from './member-maker.ts';
import type { MemberMemory } from './member-memory.ts';
import { memberUrls } from './member-url.ts';
import { Outage, type OutagePolicy } from './outage.ts';
import { Prober } from './prober.ts';
import { healthiest, select } from './selection.ts';
import { fetchSidecar } from './sidecar.ts';

export interface CollectiveOptions {
  members: readonly Member[];
  /** Makes those that come later. */
  maker: MemberMaker;
  verification: Verification | undefined;
  /** Judges what a member shows before the image was chosen. */
  examine?: Examine | undefined;
  onOutage: OutagePolicy;
  /** See heartbeat.ts. */
  heartbeatMs?: number | undefined;
  log: Log;
  time: TimeSource;
  /** A member answered a probe before the image was chosen, and `examine` has nothing against it. */
  onCandidate: (member: Member, observation: Observation, examined: Examined) => void;
  /** A member failed a probe before the image was chosen. */
  onUnanswered: (member: Member, fault: MemberFault) => void;
  /**
   * Something of ours was thrown where only a member can fail. The exchange has failed; the fetch goes on. Unless said otherwise it is
   * thrown once more, where nobody catches it.
   */
  onDefect?: ((error: unknown) => void) | undefined;
}

/** Prefetch: at least this many spans for each member that is up, at most that many; in between what fills its pipe. */
const fewestSpans = 4;
const mostSpans = 12;
const usualSpanBytes = 524_288;
/** So long the members that were out have to show that they are back, before a successor says that there is nobody; ms. */
const resumeMs = 500;
/** Characters of what an outage says of all members: a line of the kernel's log has room for that; of each at least so many. */
const longestReasons = 750;
const leastReason = 40;

/** `wearied`: rests as soon as the last fetch that a reader waits for is over. */
type Activity = 'serving' | 'wearied' | 'resting' | 'closed';

export class MemberCollective implements Collective, FetchWorld {
  readonly time: TimeSource;
  readonly budget = new HedgeBudget();
  /** Those of the moment; shared with who asks them. */
  readonly #members: Member[];
  readonly #options: CollectiveOptions;
  readonly #prober: Prober;
  readonly #outage: Outage;
  readonly #heartbeat: Heartbeat;
  readonly #fetches = new Set<HedgedFetch>();
  readonly #waiting = new Set<HedgedFetch>();
  /** Members of which the log has what they are. */
  readonly #said = new Set<Member>();
  #image: ImageEnds | undefined;
  #bytesWasted = 0;
  #wakeScheduled = false;
  readonly #confirmations = new Set<(confirmed: boolean) => void>();
  #activity: Activity = 'serving';
  /** Aborted at the end of each stretch of serving. */
  #session = new AbortController();

  constructor(options: CollectiveOptions) {
    const { verification, onOutage, heartbeatMs = usualHeartbeatMs, log, time } = options;
    this.time = time;
    const members = [...options.members];
    this.#members = members;
    this.#options = options;
    this.#outage = new Outage({
      policy: onOutage,
      log,
      time,
      reasons: () => this.reasons(longestReasons),
      onExpired: () => this.#wake(),
    });
    this.#prober = new Prober({
      members,
      time,
      verification,
      urgent: () => this.#image === undefined || this.#outage.present,
      onObserved: (member, observation) => this.#onObserved(member, observation),
      onFault: (member, fault) => this.#onProbeFault(member, fault),
    });
    this.#heartbeat = new Heartbeat({
      members,
      time,
      intervalMs: heartbeatMs,
      imageSize: () => this.imageSize,
      onFault: (member, fault) => this.onFault(member, fault, { offset: 0, length: 1 }),
    });
  }

  /** Asks all members who they are. */
  start(): void {
    this.#prober.start();
  }

  /** Goes on with an image that a process before us has identified; members that it used are used at once, and all are asked anew. */
  resume(image: ImageEnds): void {
    this.#choose(image);
    this.start();
    // What was out is perhaps back: it is asked before anything is said.
    this.time.after(resumeMs, () => {
      if (!this.#session.signal.aborted && healthiest(this.#members).length === 0) this.#beginOutage();
    });
  }

  /** Settles what the image is, and judges the members that have answered by it. @param unanswered why the others have not. */
  identify(
    image: Observation,
    answered: ReadonlyMap<Member, Observation>,
    unanswered: ReadonlyMap<Member, MemberFault>,
  ): void {
    this.#choose(image);
    for (const [member, fault] of unanswered) this.#sayUnusable(member, fault);
    for (const [member, observation] of answered) this.#onObserved(member, observation);
    for (const member of this.#members) {
      this.#prober.schedule(member);
    }
  }

  /** From here on there are reads that nothing may hold up: names are no longer looked up as the system does it. */
  #choose(image: ImageEnds): void {
    this.#image = image;
    for (const { addresses } of this.#members) addresses.leaveSystem();
    this.#heartbeat.start();
  }

  get imageSize(): number {
    if (this.#image === undefined) throw new Error('a fetch began before the image was identified');
    return this.#image.imageSize;
  }

  fetch(_span: ByteRange, priority: FetchPriority, target: FetchTarget): SpanFetch {
    const fetch = new HedgedFetch(priority, target, this);
    this.#fetches.add(fetch);
    this.budget.deposit();
    this.#endRest();
    if (this.#activity === 'closed') fetch.cancel();
    else fetch.advance();
    return fetch;
  }

  sidecar<T>(sidecar: Sidecar<T>): Promise<SidecarResult<T>> {
    this.#endRest();
    const healthFirst = this.#members.toSorted((a, b) => memberStates.indexOf(a.state) - memberStates.indexOf(b.state));
    return fetchSidecar(healthFirst, sidecar, { time: this.time, signal: this.#session.signal });
  }

  rest(): void {
    if (this.#activity !== 'serving') return;
    this.#activity = 'wearied';
    for (const fetch of this.#fetches) if (fetch.priority === 'prefetch') fetch.cancel();
    this.#restIfIdle();
  }

  confirm(withinMs: number): Promise<boolean> {
    this.#endRest();
    return new Promise((resolve) => {
      const cancel = this.time.after(withinMs, () => settle(false));
      const settle = (confirmed: boolean) => {
        cancel();
        this.#confirmations.delete(settle);
        resolve(confirmed);
      };
      this.#confirmations.add(settle);
      this.#prober.start();
    });
  }

  get busy(): boolean {
    const now = this.time.now();
    return healthiest(this.#members).every(({ speed }) => speed.slowness.present(now));
  }

  get usableMembers(): number {
    return healthiest(this.#members).length;
  }

  get suggestedPrefetchSpans(): number {
    const serving = healthiest(this.#members);
    const now = this.time.now();
    const spans = serving.map(({ speed, concurrency }) => {
      const inThePipe = (speed.throughput * speed.latencyMs) / 1000 / usualSpanBytes;
      return Math.min(fewestSpans + Math.ceil(inThePipe), mostSpans, concurrency.limit(now));
    });
    return Math.max(
      1,
      spans.reduce((sum, count) => sum + count, 0),
    );
  }

  get roundTripMs(): number {
    return Math.min(...healthiest(this.#members).map(({ speed }) => speed.roundTripMs));
  }

  get bytesInRoundTrip(): number {
    const perMember = healthiest(this.#members).map(({ speed }) => (speed.throughput * speed.latencyMs) / 1000);
    return perMember.reduce((sum, bytes) => sum + bytes, 0);
  }

  replaceMembers(urls: readonly FileUrl[], { addresses = {}, ca }: NewMemberFacts = {}): MemberChange {
    const before = new Map(this.#members.map((member) => [member.url.given, member]));
    const wanted = memberUrls(urls).map((url) => before.get(url.given) ?? this.#options.maker.make(url, ca));
    const added = wanted.filter((member) => !this.#members.includes(member));
    const removed = this.#members.filter((member) => !wanted.includes(member));
    this.#members.splice(0, this.#members.length, ...wanted);
    for (const member of removed) this.#dismiss(member);
    for (const member of added) {
      this.#options.log.info('member added', { member: member.url.text });
      member.addresses.recall(addresses[member.url.given] ?? []);
      member.addresses.leaveSystem();
      this.#prober.begin(member);
    }
    this.#seeWhoIsLeft();
    this.#wake();
    return { added: added.map(({ url }) => url.text), removed: removed.map(({ url }) => url.text) };
  }

  /** What is under way on its connections fails, and is asked of the others. */
  #dismiss(member: Member): void {
    this.#options.log.info('member removed', { member: member.url.text });
    this.#prober.forget(member);
    this.#said.delete(member);
    member.pool.retire();
  }

  status(): CollectiveStatus {
    const demand = [...this.#fetches].filter(({ priority }) => priority === 'demand').length;
    return {
      members: this.#members.map((member) => member.status()),
      bytesWasted: this.#bytesWasted,
      outageMs: this.#outage.ms,
      demandInFlight: demand,
      prefetchInFlight: this.#fetches.size - demand,
    };
  }

  get memory(): MemberMemory[] {
    return this.#members.map(({ memory }) => memory);
  }

  async close(): Promise<void> {
    this.#activity = 'closed';
    for (const fetch of this.#fetches) fetch.cancel();
    this.#leaveMembers();
  }

  /** Every member with why it is not up, on one line; of so many characters at most, if none must push another out. */
  reasons(longest = Number.POSITIVE_INFINITY): string {
    const share = Math.floor(longest / this.#members.length);
    return this.#members
      .map(({ url: { text }, health: { state, reason } }) => {
        const why = shownText(`${state}: ${reason}`, Math.max(leastReason, share - text.length));
        return `${text} (${why})`;
      })
      .join('; ');
  }

  // What a fetch asks for: see FetchWorld.

  pick(bytes: number, except: readonly Member[]): Member | undefined {
    const candidates = this.#members.filter((member) => !except.includes(member));
    return select(candidates, bytes, this.time.random());
  }

  hopeless(waitedMs: number): OutageError | undefined {
    const { onOutage } = this.#options;
    if (onOutage.mode === 'wait' || waitedMs < onOutage.timeoutMs) return undefined;
    return new OutageError(this.reasons(longestReasons), `nothing has come for ${Math.round(waitedMs)} ms`);
  }

  refusal(priority: FetchPriority): OutageError | undefined {
    return this.#outage.refusal(priority);
  }

  wait(fetch: HedgedFetch): void {
    this.#waiting.add(fetch);
  }

  onDelivered(member: Member, askedAt: number): void {
    if (!this.#members.includes(member)) {
      this.#wake();
      return;
    }
    this.#note(member, () => member.health.delivered(askedAt, this.time.now()));
    if (member.state === 'up') this.#outage.end();
    this.#wake();
  }

  onFault(member: Member, fault: MemberFault, range: ByteRange): void {
    if (!this.#members.includes(member)) {
      this.#wake();
      return;
    }
    member.count(fault.kind);
    if (fault.kind === 'corrupt') member.corruptRange = range;
    this.#options.log.debug('an attempt failed', { fault: fault.message });
    this.#noteDefect(fault);
    const now = this.time.now();
    // It answers the others: it is asked for less at once.
    if (fault.kind === 'busy' && member.inFlight > 0) member.concurrency.refused(member.inFlight, now);
    else this.#note(member, () => member.health.fault(fault.kind, fault.what, now));
    this.#wake();
  }

  onDrained(bytes: number): void {
    this.#bytesWasted += bytes;
  }

  onSettled(fetch: HedgedFetch, wasted: number): void {
    this.#fetches.delete(fetch);
    this.#waiting.delete(fetch);
    this.#bytesWasted += wasted;
    this.#wake();
    this.#restIfIdle();
  }

  // Rest.

  #restIfIdle(): void {
    if (this.#activity !== 'wearied' || this.#fetches.size > 0) return;
    this.#activity = 'resting';
    this.#leaveMembers();
    this.#options.log.info('the members are not needed: connections are closed');
  }

  #leaveMembers(): void {
    this.#session.abort();
    this.#prober.stop();
    this.#heartbeat.stop();
    this.#outage.cancel();
    for (const member of this.#members) member.pool.close();
  }

  /** Members that were up are used at once, pinned as they were; what else has become of them meanwhile the probes tell. */
  #endRest(): void {
    if (this.#activity === 'closed') return;
    const rested = this.#activity === 'resting';
    this.#activity = 'serving';
    if (!rested) return;
    this.#session = new AbortController();
    this.#options.log.info('the members are needed again');
    this.#prober.start();
    this.#heartbeat.start();
    if (healthiest(this.#members).length === 0) this.#beginOutage();
  }

  // What the probes find.

  #onObserved(member: Member, observation: Observation): void {
    if (!this.#members.includes(member)) return;
    const { verification } = this.#options;
    member.probesTimedOut = 0;
    const refusal = judge(member.url.text, observation, this.#image, verification);
    if (refusal !== undefined) {
      if (refusal.fault.kind === 'corrupt') member.corruptRange = refusal.range;
      this.#onProbeFault(member, refusal.fault);
      return;
    }
    if (this.#image === undefined) {
      this.#offer(member, observation);
      return;
    }
    member.file = observation.file;
    member.pin = observation.pin;
    member.corruptRange = undefined;
    if (member.state !== 'up') {
      member.speed.restart(this.time.now());
      member.concurrency.restart();
    }
    this.#note(member, () => member.health.identified(this.time.now()));
    for (const settle of [...this.#confirmations]) settle(true);
    this.#wake();
  }

  #offer(member: Member, observation: Observation): void {
    const { examine, onCandidate } = this.#options;
    const { head, imageSize, contentType } = observation;
    let examined: Examined;
    try {
      examined = examine?.(head, imageSize, contentType) ?? 'unknown';
    } catch (error) {
      this.#onProbeFault(member, new MemberFault('format', member.url.text, describeError(error)));
      return;
    }
    onCandidate(member, observation, examined);
  }

  #onProbeFault(member: Member, fault: MemberFault): void {
    if (!this.#members.includes(member)) return;
    member.count(fault.kind);
    member.health.probeFailed();
    if (fault.kind === 'timeout' && fault.asked) member.probesTimedOut++;
    this.#noteDefect(fault);
    this.#sayUnusable(member, fault);
    this.#note(member, () => member.health.fault(fault.kind, fault.what, this.time.now()));
    if (this.#image === undefined) this.#options.onUnanswered(member, fault);
  }

  #noteDefect(fault: MemberFault): void {
    const { onDefect = throwUncaught } = this.#options;
    if (fault.kind === 'defect') onDefect(fault.cause);
  }

  /** Applies a change of health; when the state changed: says so, probes accordingly, and sees whether anyone is left. */
  #note(member: Member, change: () => boolean): void {
    const was = member.state;
    if (!change()) return;
    const { state, reason } = member.health;
    this.#report(member, was, state, reason);
    this.#prober.schedule(member);
    this.#seeWhoIsLeft();
  }

  #seeWhoIsLeft(): void {
    if (this.#image === undefined || this.#session.signal.aborted) return;
    if (healthiest(this.#members).length > 0) this.#outage.relieve();
    else this.#beginOutage();
  }

  /**
   * Who has never been of use is `down` from the beginning, which is no change: said once, and louder when no time will mend it. Without an image
   * there is nothing that it could be of use for; then the caller says it of all.
   */
  #sayUnusable(member: Member, { transient, what: reason }: MemberFault): void {
    if (this.#image === undefined || member.state !== 'down' || this.#said.has(member)) return;
    this.#said.add(member);
    const fields = { member: member.url.text, reason };
    if (transient) this.#options.log.info('member is not used yet', fields);
    else this.#options.log.warn('member cannot be used', fields);
  }

  #report(member: Member, was: MemberState, state: MemberState, reason: string): void {
    const { log } = this.#options;
    this.#said.add(member);
    const fields = { member: member.url.text, was };
    if (state === 'up') log.info('member is up', fields);
    else log.warn(`member is ${state}`, { ...fields, reason });
  }

  #beginOutage(): void {
    if (this.#outage.present) return;
    this.#outage.begin();
    for (const member of this.#members) this.#prober.schedule(member);
    this.#wake();
  }

  /** Lets waiting fetches look again, those that somebody waits for first. Later, so that no fetch re-enters another. */
  #wake(): void {
    if (this.#wakeScheduled || this.#waiting.size === 0) return;
    this.#wakeScheduled = true;
    queueMicrotask(() => {
      this.#wakeScheduled = false;
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const priority of ['demand', 'prefetch'] as const) {
        for (const fetch of waiting) if (fetch.priority === priority) fetch.advance();
      }
    });
  }
}

function throwUncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
