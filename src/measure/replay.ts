/** What a boot has read, read again: by all members, and with each of them left out in turn. */
import { performance } from 'node:perf_hooks';
import * as z from 'zod';
import type { ByteRange } from '../base/byte-range.ts';
import { UsageError } from '../base/errors.ts';
import { type FileUrl, fileBeside } from '../base/file-url.ts';
import { readGivenFile } from '../base/given-file.ts';
import { systemTime } from '../base/time-source.ts';
import { hexOf, type ImageDigest } from '../image/digest.ts';
import { ImageGeometry } from '../image/geometry.ts';
import { sidecarSuffix } from '../image/sidecar.ts';
import { largestTraceSize, parseTrace, type Trace, traceSuffix } from '../image/trace.ts';
import { descriptorSize, digestOfDescriptor, parseDescriptor } from '../image/verity-descriptor.ts';
import { ServedFile } from '../members/index.ts';
import { Deadline } from './deadline.ts';
import { Faults, faultSchema } from './faults.ts';
import { inLanes, unlessAborted } from './lanes.ts';
import { keepRate } from './pace.ts';
import type { Plan } from './plan.ts';
import { Together } from './together.ts';

export const replaySchema = z.object({
  /** What was asked for each time; all of the trace, or as much of its beginning as the plan allows. */
  bytes: z.int().positive(),
  requests: z.int().positive(),
  runs: z.array(
    z.object({
      /** URL of the member that was left out; null: none was. */
      without: z.string().nullable(),
      /** Each time, from the first request to the last byte, in ms. */
      ms: z.array(z.number()),
      errors: z.array(faultSchema),
    }),
  ),
});
export type Replay = z.infer<typeof replaySchema>;

/** One that answers. */
export interface UsableMember {
  readonly file: FileUrl;
  /** As the report has it. */
  readonly url: string;
}

export interface ReplayOptions {
  ca?: readonly string[] | undefined;
  plan: Plan;
  signal: AbortSignal;
  /** Told what begins. */
  onStep: (what: string) => void;
}

/** Bytes of one request, as a mount replays a trace. */
const longestSpan = 512 * 1024;
/** Requests at once. */
const atOnce = 8;
/** What takes longer is given up. */
const longestReplayMs = 120_000;

/** The trace of a file. @throws UsageError */
export function givenTrace(file: string): Trace {
  const bytes = readGivenFile(file, '--trace', largestTraceSize);
  try {
    return parseTrace(bytes);
  } catch (cause) {
    throw new UsageError(`--trace ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** What the members offer for the image that they serve; undefined when none offers any. */
export async function offeredTrace(
  files: readonly FileUrl[],
  { ca, plan, signal }: Pick<ReplayOptions, 'ca' | 'plan' | 'signal'>,
): Promise<Trace | undefined> {
  try {
    const digest = await unlessAborted(signal, offeredDigest(files, ca));
    if (digest === undefined) return undefined;
    const opening = { ca, patienceMs: plan.stallMs, digest: hexOf(digest), signal };
    await using together = await Together.open(files, opening);
    const { imageSize } = together;
    const accept = (bytes: Uint8Array) => parseTrace(bytes, { digest, imageSize });
    return await unlessAborted(signal, together.smallFile(traceSuffix, largestTraceSize, accept));
  } catch {
    // Without one there is no replay; what is the matter with members the other figures say.
    return undefined;
  }
}

/** Of the beginning of the file beside the image. */
async function offeredDigest(
  files: readonly FileUrl[],
  ca: readonly string[] | undefined,
): Promise<ImageDigest | undefined> {
  for (const file of files) {
    try {
      await using sidecar = new ServedFile(fileBeside(file, sidecarSuffix), { ca, time: systemTime });
      const { bytes } = await sidecar.read({ offset: 0, length: descriptorSize });
      return digestOfDescriptor(parseDescriptor(bytes));
    } catch {
      // Another may have it.
    }
  }
  return undefined;
}

/**
 * Each time with new connections, in turn, so that what changes meanwhile meets all.
 * @param members at least two. @returns null for a trace without anything in it.
 */
export async function measureReplay(
  members: readonly UsableMember[],
  trace: Trace,
  options: ReplayOptions,
): Promise<Replay | null> {
  const { plan, signal, onStep } = options;
  const spans = spansOf(trace, plan.cellBytes ?? Number.POSITIVE_INFINITY);
  if (spans.length === 0) return null;
  const bytes = spans.reduce((sum, { length }) => sum + length, 0);
  const runs = [undefined, ...members].map((without) => ({
    without,
    ms: [] as number[],
    faults: new Faults(),
  }));
  const total = plan.replays * runs.length;
  for (let done = 0; done < total && !signal.aborted; done++) {
    const run = runs[done % runs.length];
    if (run === undefined) break;
    onStep(run.without === undefined ? 'a boot, replayed' : 'the same without a member');
    const began = performance.now();
    const left = members.filter((member) => member !== run.without);
    const ms = await replayOnce(
      left.map(({ file }) => file),
      spans,
      run.faults,
      options,
    );
    if (ms !== undefined) run.ms.push(ms);
    await keepRate(plan.rate, bytes, began, signal);
  }
  return {
    bytes,
    requests: spans.length,
    runs: runs.map(({ without, ms, faults }) => ({ without: without?.url ?? null, ms, errors: faults.all })),
  };
}

/** ms; undefined when not all of it came. */
async function replayOnce(
  urls: readonly FileUrl[],
  spans: readonly ByteRange[],
  faults: Faults,
  { ca, plan, signal }: ReplayOptions,
): Promise<number | undefined> {
  try {
    await using together = await Together.open(urls, { ca, patienceMs: 2 * plan.stallMs, signal });
    let next = 0;
    let came = 0;
    let began: number | undefined;
    using deadline = new Deadline(longestReplayMs);
    await inLanes(atOnce, together, { faults, signal, late: deadline.signal }, async (lane, _, ends) => {
      began ??= performance.now();
      const span = spans[next++];
      if (span === undefined) return false;
      await lane.read(span, { signal: ends });
      came++;
      return true;
    });
    return came === spans.length && began !== undefined ? performance.now() - began : undefined;
  } catch (error) {
    if (!signal.aborted) faults.add(error);
    return undefined;
  }
}

/** The trace's beginning, in its order, in requests of a length that a mount makes. */
function spansOf({ imageSize, chunkSize, runs }: Trace, mostBytes: number): ByteRange[] {
  const geometry = new ImageGeometry(imageSize, chunkSize);
  const spans: ByteRange[] = [];
  let bytes = 0;
  for (const { first, count } of runs) {
    const { offset, length } = geometry.rangeOf(first, count);
    for (let at = 0; at < length; at += longestSpan) {
      const span = { offset: offset + at, length: Math.min(longestSpan, length - at) };
      if (bytes > 0 && bytes + span.length > mostBytes) return spans;
      spans.push(span);
      bytes += span.length;
    }
  }
  return spans;
}
