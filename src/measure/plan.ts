/** What is measured, and how much of the network that may take. */
import * as z from 'zod';

const count = z.int().positive();

export const planSchema = z.object({
  /** Bytes of a range. */
  sizes: z.array(count),
  /** Ranges asked for at once. */
  depths: z.array(count),
  /** The same while the member is loaded. */
  loadedDepths: z.array(count),
  /** Connections that are made one after the other, to see how long that takes. */
  setUps: count,
  /** Connections that load a member, or show what several get together. */
  parallel: count,
  /** How often a boot is replayed with all members, and without each. */
  replays: count,
  /** So long each of these is measured of each member, in ms; less where its bytes are used up. */
  cellMs: count,
  /** Bytes that are asked for in each, as quickly as they come; null: as many as come. */
  cellBytes: count.nullable(),
  /** Bytes a second on average: pauses see to that; null: none are made. */
  rate: count.nullable(),
  /** Nothing at all may come for so long, in ms. */
  stallMs: count,
});
export type Plan = z.infer<typeof planSchema>;

const kib = 1_024;
const mib = 1_024 * kib;
const sizes = [4 * kib, 128 * kib, mib];
const depths = [1, 4, 16];

/** Harmless beside a running cluster: at most 32 MiB without a pause, 100 Mbit/s on average. */
export const carefulPlan: Plan = {
  ...{ sizes, depths, loadedDepths: [1], setUps: 20, parallel: 8, replays: 3, stallMs: 5_000 },
  ...{ cellMs: 1_500, cellBytes: 32 * mib, rate: 12_500_000 },
};

/** Seconds instead of minutes, and fewer samples: for whoever looks often. */
export const quickPlan: Plan = { ...carefulPlan, setUps: 5, replays: 1, cellMs: 300, cellBytes: 4 * mib };

/** For a network that nobody else uses. */
export const fullPlan: Plan = {
  ...carefulPlan,
  loadedDepths: depths,
  setUps: 100,
  cellMs: 4_000,
  cellBytes: null,
  rate: null,
};

export interface RangeCell {
  /** Bytes. */
  readonly size: number;
  readonly depth: number;
  /** Whether the member is loaded meanwhile. */
  readonly loaded: boolean;
}

export type Cell =
  | { readonly kind: 'set-up' }
  | { readonly kind: 'throughput'; readonly connections: number }
  | ({ readonly kind: 'ranges' } & RangeCell);

/** In the order in which they are measured: what loads the members last. */
export function cellsOf(plan: Plan): Cell[] {
  const ranges = (each: readonly number[], loaded: boolean) =>
    plan.sizes.flatMap((size) => each.map((depth): Cell => ({ kind: 'ranges', size, depth, loaded })));
  return [
    { kind: 'set-up' },
    ...ranges(plan.depths, false),
    { kind: 'throughput', connections: 1 },
    { kind: 'throughput', connections: plan.parallel },
    ...ranges(plan.loadedDepths, true),
  ];
}

/** ms that one takes at the most, its pause included. */
export function longestCell({ cellMs, cellBytes, rate }: Plan): number {
  return Math.max(cellMs, cellBytes === null || rate === null ? 0 : (cellBytes * 1_000) / rate);
}
