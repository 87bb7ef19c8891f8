/** What was measured of one place, one kind of thing a schema. Times in ms, sizes in bytes. */
import * as z from 'zod';
import { distributionSchema } from './distribution.ts';
import { faultSchema } from './faults.ts';

/** null where nothing was answered. */
const answered = distributionSchema.nullable();
/** So many of the lanes had errors only, and were given up: the others had more for themselves. */
const lanesLost = z.int().nonnegative();
/** How much of the time this process was at work, 0 to 1: near 1 it is itself what was measured. */
const ownLoad = z.number().min(0).max(1);

export const setUpSchema = z.object({
  /** Until it can be asked: both of what follows. */
  whole: answered,
  /** Until TCP stood, of all. */
  connect: answered,
  /** From there until the TLS session did, without an older one to resume; null also where there is none. */
  tls: answered,
});
export type SetUp = z.infer<typeof setUpSchema>;

export const rangesSchema = z.object({
  size: z.int().positive(),
  depth: z.int().positive(),
  loaded: z.boolean(),
  /** From the request to the first byte of the answer, and to the last. */
  firstByte: answered,
  whole: answered,
  lanesLost,
  ownLoad,
});
export type Ranges = z.infer<typeof rangesSchema>;

export const throughputSchema = z.object({
  connections: z.int().positive(),
  bytes: z.int().nonnegative(),
  /** From the first byte to the last, or until the time was over. */
  ms: z.number(),
  /** Bytes a second. */
  rate: z.number().nullable(),
  /** Bytes that came in each such stretch of time, one after the other. */
  everyMs: z.number(),
  series: z.array(z.int().nonnegative()),
  lanesLost,
  ownLoad,
});
export type Throughput = z.infer<typeof throughputSchema>;

export const placeSchema = z.object({
  /** null until it was measured. */
  setUp: setUpSchema.nullable(),
  ranges: z.array(rangesSchema),
  throughput: z.array(throughputSchema),
  errors: z.array(faultSchema),
});
export type PlaceFigures = z.infer<typeof placeSchema>;

/** Ranges that were asked for one at a time. */
export function oneAtATime({ ranges }: PlaceFigures, size: number, loaded = false): Ranges | undefined {
  return ranges.find((cell) => cell.size === size && cell.depth === 1 && cell.loaded === loaded);
}

export function throughputOf({ throughput }: PlaceFigures, connections: number): Throughput | undefined {
  return throughput.find((one) => one.connections === connections);
}
