/** What a reader process is told, and what it reports: shared by the program (reader.ts) and whoever started it (readers.ts). */

export interface Reading {
  /** The file in the mount, and one that holds what it must show. */
  file: string;
  truth: string;
  /** Reads at once. */
  readers: number;
  /** Each reader's pause between two reads, in ms ± half. */
  pauseMs: number;
  /** `random`: 4 to 128 KiB, each 128 KiB of the image once before any comes again. `sequential`: 1 MiB after the other. */
  order: 'random' | 'sequential';
}

/** `unfinished`: was still waiting when the reader was told to stop. */
export type ReadVerdict = 'right' | 'wrong' | 'short' | 'error' | 'unfinished';

export interface Read {
  /** By the machine's monotonic clock, in ms. */
  startedAt: number;
  waitMs: number;
  bytes: number;
  verdict: ReadVerdict;
}

/** The same clock in every process. */
export function clock(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
