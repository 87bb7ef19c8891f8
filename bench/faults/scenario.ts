/** A scenario: one fault, struck once in each run, and the figures that come of it. */
import type { FaultSite } from './site.ts';

/** One figure of one run. */
export interface Figure {
  /** What was measured; the same in each run. */
  what: string;
  value: number;
  unit: string;
  digits?: number;
  /** What is to be reached; without either it is only shown. */
  atMost?: number;
  atLeast?: number;
}

export interface Scenario {
  /** For `--only`. */
  name: string;
  /** Runs, whatever `--runs` says: for what takes long or has no chance in it. */
  mostRuns?: number;
  run(makeSite: MakeSite): Promise<Figure[]>;
}

export interface SiteSettings {
  /** Of each member's link; 300 unless said otherwise. */
  megabits?: number;
  rttMs?: number;
}

/** Three members with nothing wrong yet. */
export type MakeSite = (settings?: SiteSettings) => Promise<FaultSite>;
