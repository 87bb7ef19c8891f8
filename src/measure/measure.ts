/** Measures every member, each by itself and then all together, cell by cell of a plan: a member after the other in each cell, so that what changes meanwhile meets all of them. */
import { setMaxListeners } from 'node:events';
import { hostname } from 'node:os';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, UsageError } from '../base/errors.ts';
import type { FileUrl } from '../base/file-url.ts';
import { systemTime } from '../base/time-source.ts';
import type { Trace } from '../image/trace.ts';
import { MemberFault, memberUrls, TimedMember } from '../members/index.ts';
import { type CellOptions, measureRanges, measureSetUp, measureThroughput } from './cell.ts';
import { Faults } from './faults.ts';
import type { PlaceFigures } from './figures.ts';
import { type Place, unlessAborted } from './lanes.ts';
import { keepRate } from './pace.ts';
import { type Cell, cellsOf, longestCell, type Plan } from './plan.ts';
import { measureReplay, offeredTrace, type UsableMember } from './replay.ts';
import { type MemberReport, type Report, reportVersion, type TogetherReport } from './report.ts';
import { Together } from './together.ts';

export interface MeasureOptions {
  /** Of one image, each member's once. */
  urls: readonly FileUrl[];
  /** PEM certificates of the CAs to believe instead of the system's. */
  ca?: readonly string[] | undefined;
  plan: Plan;
  /** Of a boot, to be replayed; undefined: what the members offer, if they do. */
  trace?: Trace | undefined;
  /** Of tetherfs. */
  version: string;
  /** Ends it: the report says what has been measured by then. */
  signal: AbortSignal;
  /** @param share of all the work that is done, 0 to 1. @param what is measured now, in a few words. */
  onProgress?: ((share: number, what: string) => void) | undefined;
}

/** A member that answers nothing in so many cells, one after the other, is left out of the others. */
const emptyCells = 2;
const mostTries = 3;
const warmUpMs = 200;
const afterErrorMs = 200;

/** Errors of members are rows of the report. @throws UsageError for a CA that is none. */
export async function measure(options: MeasureOptions): Promise<Report> {
  const { urls, ca, plan, version, signal, onProgress } = options;
  setMaxListeners(0, signal);
  const began = new Date();
  const since = performance.now();
  const members = memberUrls(urls).map(
    (url) => new Measured(new TimedMember(url, { ca, time: systemTime, stallMs: plan.stallMs })),
  );
  onProgress?.(0, 'who they are');
  await Promise.all(members.map((member) => member.identify(signal)));
  insistOnItsImage(options.trace, members);
  await warmUp(members, plan, signal);
  const cells = cellsOf(plan);
  const steps = stepsOf(plan, members.length);
  let done = 0;
  const begin = (what: string) => onProgress?.(Math.min(1, done++ / steps), what);
  for (const cell of cells) {
    for (const member of members) {
      begin(`${describeCell(cell)}, ${member.name}`);
      await member.measure(cell, plan, signal);
    }
  }
  const usable = urls.flatMap((file, index) => {
    const member = members[index];
    return member?.place === undefined ? [] : [{ file, url: member.report.url }];
  });
  const several = () => usable.length > 1 && !signal.aborted;
  const together = several() ? await measureTogether(usable, options, begin) : null;
  const answering = () => several() && together !== null && together.choice.length > 0;
  const files = usable.map(({ file }) => file);
  const trace = answering() ? (options.trace ?? (await offeredTrace(files, options))) : undefined;
  const replay = trace && answering() ? await measureReplay(usable, trace, { ...options, onStep: begin }) : null;
  return {
    ...{ report: reportVersion, version, node: hostname(), began: began.toISOString() },
    seconds: (performance.now() - since) / 1_000,
    complete: !signal.aborted,
    plan,
    members: members.map((member) => member.report),
    together,
    replay,
  };
}

/** @throws UsageError for a trace that is of another image than any member has. */
function insistOnItsImage(trace: Trace | undefined, members: readonly Measured[]): void {
  const sizes = members.flatMap(({ place }) => place?.imageSize ?? []);
  if (trace !== undefined && sizes.length > 0 && !sizes.includes(trace.imageSize))
    throw new UsageError(
      `the trace is of an image of ${trace.imageSize} bytes, and what members serve has ${sizes[0]}: give that of this image`,
    );
}

/** All members together, and the replays, come where there are several. */
function stepsOf(plan: Plan, members: number): number {
  const cells = cellsOf(plan).length;
  return cells * members + (members > 1 ? cells + plan.replays * (members + 1) : 0);
}

/** The first that is measured must not pay for our own code, which becomes fast by being run. */
async function warmUp(members: readonly Measured[], plan: Plan, signal: AbortSignal): Promise<void> {
  const cell: Cell = { kind: 'ranges', size: Math.min(...plan.sizes), depth: 1, loaded: false };
  const short = { ...plan, cellMs: Math.min(plan.cellMs, warmUpMs) };
  for (const { place } of members) if (place !== undefined) await new Figures().measure(place, cell, short, signal);
}

/** The longest that it takes if all members answer, in ms. */
export function longestRun(plan: Plan, members: number): number {
  return stepsOf(plan, members) * longestCell(plan);
}

async function measureTogether(
  members: readonly UsableMember[],
  { ca, plan, signal }: MeasureOptions,
  onStep: (what: string) => void,
): Promise<TogetherReport> {
  const figures = new Figures();
  // Connections are the members'.
  const cells = cellsOf(plan).filter(({ kind }) => kind !== 'set-up');
  const files = members.map(({ file }) => file);
  const opening = { ca, patienceMs: 2 * plan.stallMs, signal };
  await using together = await Together.open(files, opening).catch((error: unknown) => {
    if (!signal.aborted) figures.faults.add(error);
    return undefined;
  });
  if (together === undefined) return { ...figures.all, choice: [] };
  let empty = 0;
  for (const cell of cells) {
    onStep(`${describeCell(cell)}, all together`);
    empty = (await figures.measure(together, cell, plan, signal)) ? 0 : empty + 1;
    if (empty >= emptyCells) break;
  }
  const choice = together
    .status()
    .members.map(({ state, reason, scoreMs, requests, bytes, hedges, hedgesWon }, index) => ({
      ...{ url: members[index]?.url ?? '', state, reason, scoreMs, requests, bytes, hedges, hedgesWon },
    }));
  return { ...figures.all, choice };
}

/** One member, and what was measured of it. */
class Measured {
  readonly #member: TimedMember;
  readonly #figures = new Figures();
  #imageSize: number | null = null;
  #leftOut: string | null = null;
  #emptyCells = 0;

  constructor(member: TimedMember) {
    this.#member = member;
  }

  get name(): string {
    return this.#member.url.hostHeader;
  }

  /** Undefined when it is not measured, or not any more. */
  get place(): Place | undefined {
    if (this.#imageSize === null || this.#leftOut !== null) return undefined;
    return {
      imageSize: this.#imageSize,
      longestRange: Number.POSITIVE_INFINITY,
      lane: () => this.#member.connection(),
    };
  }

  get report(): MemberReport {
    const { url } = this.#member;
    return { url: url.text, imageSize: this.#imageSize, leftOut: this.#leftOut, ...this.#figures.all };
  }

  /** One that may only have had a bad moment is asked again. */
  async identify(signal: AbortSignal): Promise<void> {
    for (let tries = 1; this.#imageSize === null && !signal.aborted; tries++) {
      try {
        const connection = await unlessAborted(signal, this.#member.connection());
        try {
          this.#imageSize = (await connection.read({ offset: 0, length: 1 }, { signal })).imageSize;
        } finally {
          connection.close();
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#figures.faults.add(error);
        if (tries === mostTries || !(error instanceof MemberFault && error.transient)) {
          this.#leftOut = error instanceof MemberFault ? error.what : describeError(error);
          return;
        }
        await sleep(afterErrorMs, undefined, { signal }).catch(() => {});
      }
    }
  }

  async measure(cell: Cell, plan: Plan, signal: AbortSignal): Promise<void> {
    const { place } = this;
    if (place === undefined || signal.aborted) return;
    this.#emptyCells = (await this.#figures.measure(place, cell, plan, signal)) ? 0 : this.#emptyCells + 1;
    if (this.#emptyCells >= emptyCells && !signal.aborted)
      this.#leftOut = this.#figures.faults.last ?? 'it does not answer';
  }
}

/** What is measured of one place, as it grows. */
class Figures {
  readonly faults = new Faults();
  #setUp: PlaceFigures['setUp'] = null;
  readonly #ranges: PlaceFigures['ranges'] = [];
  readonly #throughput: PlaceFigures['throughput'] = [];

  get all(): PlaceFigures {
    return { setUp: this.#setUp, ranges: this.#ranges, throughput: this.#throughput, errors: this.faults.all };
  }

  /** @returns whether anything was answered; then follows the pause that the plan's rate asks for. */
  async measure(place: Place, cell: Cell, plan: Plan, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return true;
    const began = performance.now();
    let asked = 0;
    const options: CellOptions = {
      ...{ plan, faults: this.faults, signal },
      onAsked: (bytes) => {
        asked += bytes;
      },
    };
    const answered = await this.#measure(place, cell, options);
    await keepRate(plan.rate, asked, began, signal);
    return answered;
  }

  async #measure(place: Place, cell: Cell, options: CellOptions): Promise<boolean> {
    switch (cell.kind) {
      case 'set-up': {
        this.#setUp = await measureSetUp(place, options);
        return this.#setUp.connect !== null;
      }
      case 'ranges': {
        const ranges = await measureRanges(place, cell, options);
        this.#ranges.push(ranges);
        return ranges.whole !== null;
      }
      case 'throughput': {
        const throughput = await measureThroughput(place, cell.connections, options);
        this.#throughput.push(throughput);
        return throughput.bytes > 0;
      }
    }
  }
}

function describeCell(cell: Cell): string {
  switch (cell.kind) {
    case 'set-up':
      return 'connections';
    case 'throughput':
      return cell.connections === 1 ? 'one connection' : `${cell.connections} connections`;
    case 'ranges':
      return `${cell.size / 1024} KiB x ${cell.depth}${cell.loaded ? ' under load' : ''}`;
  }
}
