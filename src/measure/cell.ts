/** Measures one cell of the plan at one place, until its time or its bytes are used up. */
import { performance } from 'node:perf_hooks';
import type { TimedAnswer } from '../members/index.ts';
import { Deadline } from './deadline.ts';
import { type Distribution, distributionOf } from './distribution.ts';
import type { Ranges, SetUp, Throughput } from './figures.ts';
import { anyOf, inLanes, type Lane, type LaneOptions, type Place, randomRange } from './lanes.ts';
import type { Plan, RangeCell } from './plan.ts';

export interface CellOptions extends LaneOptions {
  readonly plan: Plan;
  /** Told of the bytes that are asked for. */
  readonly onAsked: (bytes: number) => void;
}

/** Of several that ask at once for as much as comes: at the most, and so many times each before the bytes are used up. */
const longestShared = 1 << 20;
const leastTurns = 4;
/** Where bytes are not bounded, one range that outlasts the cell. */
const endlessRange = 1 << 30;
/** A series of throughput has so many stretches where all of the time is used, and none is shorter than that. */
const stretches = 200;
const shortestStretchMs = 2;

/** Connections, one after the other. */
export async function measureSetUp(place: Place, options: CellOptions): Promise<SetUp> {
  const { plan, signal, onAsked } = options;
  const answers: TimedAnswer[] = [];
  for (let made = 0; made < plan.setUps; made++) {
    const before = answers.length;
    await inLanes(1, place, options, async ({ opening }) => {
      answers.push(opening);
      return false;
    });
    onAsked(1);
    if (answers.length === before || signal.aborted) break;
  }
  return {
    whole: ofAll(answers.flatMap(({ connectMs, tlsMs = 0 }) => (connectMs === undefined ? [] : connectMs + tlsMs))),
    connect: ofAll(answers.flatMap(({ connectMs }) => connectMs ?? [])),
    tls: ofAll(answers.flatMap(({ tlsMs }) => tlsMs ?? [])),
  };
}

export async function measureRanges(place: Place, cell: RangeCell, options: CellOptions): Promise<Ranges> {
  const { size, depth, loaded } = cell;
  const { plan } = options;
  const budget = new Budget(options);
  const answers: TimedAnswer[] = [];
  const length = Math.min(size, place.imageSize);
  const loading = Math.min(sharedRange(plan), place.imageSize);
  let loads = loaded ? plan.parallel : 0;
  let lanesLost = 0;
  /** What is asked without its load is no answer. */
  let over = false;
  using deadline = new Deadline(plan.cellMs + plan.stallMs);
  const probe = async (lane: Lane, signal: AbortSignal) => {
    if (over || !budget.take(length)) return false;
    answers.push(await lane.read(randomRange(place, length), { signal }));
    return true;
  };
  const load = async (lane: Lane, signal: AbortSignal) => {
    over ||= !budget.take(loading);
    if (!over) await lane.read(randomRange(place, loading), { signal });
    return !over;
  };
  const onGivenUp = (index: number) => {
    lanesLost++;
    if (index >= depth) loads--;
    if (loaded && loads === 0) over = true;
  };
  const before = performance.eventLoopUtilization();
  const lanes = { ...options, onGivenUp, late: deadline.signal };
  await inLanes(depth + loads, place, lanes, (lane, index, signal) =>
    index < depth ? probe(lane, signal) : load(lane, signal),
  );
  return {
    ...{ size, depth, loaded, lanesLost },
    firstByte: ofAll(answers.map(({ firstByteMs }) => firstByteMs)),
    whole: ofAll(answers.map(({ wholeMs }) => wholeMs)),
    ownLoad: performance.eventLoopUtilization(before).utilization,
  };
}

export async function measureThroughput(place: Place, connections: number, options: CellOptions): Promise<Throughput> {
  const { plan } = options;
  const budget = new Budget(options);
  const whole = connections === 1 ? (plan.cellBytes ?? endlessRange) : sharedRange(plan);
  const length = Math.min(whole, place.longestRange, place.imageSize);
  // When the time is over, or one has nothing more to ask for, what the others have under way has been counted as it came.
  const ended = new AbortController();
  const signal = anyOf(options.signal, ended.signal);
  const arrivals = new Arrivals(Math.max(shortestStretchMs, plan.cellMs / stretches));
  let lanesLost = 0;
  let timer: NodeJS.Timeout | undefined;
  const begin = () => {
    timer ??= setTimeout(() => {
      // Whoever fell silent has brought nothing until now.
      arrivals.end();
      ended.abort();
    }, plan.cellMs);
  };
  const before = performance.eventLoopUtilization();
  const lanes = { ...options, signal, onGivenUp: () => void lanesLost++ };
  await inLanes(connections, place, lanes, async (lane) => {
    begin();
    if (budget.take(length)) {
      await lane.read(randomRange(place, length), { signal, onBytes: (count) => arrivals.add(count) });
      return true;
    }
    ended.abort();
    return false;
  });
  clearTimeout(timer);
  return {
    connections,
    ...arrivals.figures(),
    lanesLost,
    ownLoad: performance.eventLoopUtilization(before).utilization,
  };
}

function sharedRange({ cellBytes, parallel }: Plan): number {
  return Math.min(longestShared, Math.ceil((cellBytes ?? Number.POSITIVE_INFINITY) / (parallel * leastTurns)));
}

function ofAll(samples: readonly number[]): Distribution | null {
  return samples.length === 0 ? null : distributionOf(samples);
}

/** What the lanes of a cell share: its time, which runs from the first question on, and its bytes. */
class Budget {
  readonly #options: CellOptions;
  #bytes: number;
  #until: number | undefined;

  constructor(options: CellOptions) {
    this.#options = options;
    this.#bytes = options.plan.cellBytes ?? Number.POSITIVE_INFINITY;
  }

  /** Whether so many bytes more may be asked for: they are. */
  take(bytes: number): boolean {
    const now = performance.now();
    this.#until ??= now + this.#options.plan.cellMs;
    if (now >= this.#until || bytes > this.#bytes) return false;
    this.#bytes -= bytes;
    this.#options.onAsked(bytes);
    return true;
  }
}

/** When bytes came. */
class Arrivals {
  readonly #everyMs: number;
  #first: number | undefined;
  #last = 0;
  #bytes = 0;
  readonly #series: number[] = [];

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  add(count: number): void {
    const now = performance.now();
    this.#first ??= now;
    this.#bytes += count;
    const index = this.#reach(now);
    this.#series[index] = (this.#series[index] ?? 0) + count;
  }

  /** It is over: nothing has come since. */
  end(): void {
    if (this.#first !== undefined) this.#reach(performance.now());
  }

  figures(): Pick<Throughput, 'bytes' | 'ms' | 'rate' | 'everyMs' | 'series'> {
    const ms = this.#last - (this.#first ?? this.#last);
    const rate = ms > 0 ? (this.#bytes * 1_000) / ms : null;
    return { bytes: this.#bytes, ms, rate, everyMs: this.#everyMs, series: this.#series };
  }

  #reach(now: number): number {
    this.#last = now;
    const index = Math.floor((now - (this.#first ?? now)) / this.#everyMs);
    while (this.#series.length <= index) this.#series.push(0);
    return index;
  }
}
