/** Reports for tests of what is said of them: made up, in the form that measuring has. */
import { distributionOf } from '../../src/measure/distribution.ts';
import { carefulPlan, type Report } from '../../src/measure/index.ts';

type Member = Report['members'][number];

/** About `ms`, as times are: from it to half as much again. */
export const about = (ms: number, samples = 100) => Array.from({ length: samples }, (_, i) => ms * (1 + (i % 10) / 20));

export const steady = (bytes: number, stretches = 20) => [...Array<number>(stretches).fill(bytes), 10];

/** A member whose ranges of 4 KiB take these times, in ms; with stretches of throughput, in bytes. */
export function memberWith(url: string, times: readonly number[], series: readonly number[] = []): Member {
  const firstByte = times.length === 0 ? null : distributionOf(times);
  const ranges = [{ size: 4_096, depth: 1, loaded: false, firstByte, whole: firstByte, lanesLost: 0, ownLoad: 0 }];
  const bytes = series.reduce((sum, one) => sum + one, 0);
  const [ms, everyMs] = [series.length * 20, 20];
  const rate = ms === 0 ? null : (bytes * 1_000) / ms;
  const throughput = [
    { connections: carefulPlan.parallel, bytes, ms, rate, everyMs, series: [...series], lanesLost: 0, ownLoad: 0 },
  ];
  return { url, imageSize: 1, leftOut: null, setUp: null, ranges, throughput, errors: [] };
}

export function reportOf(...members: Member[]): Report {
  return {
    ...{ report: 1, version: '0', node: 'n1', began: '2026-01-01T00:00:00.000Z', seconds: 1, complete: true },
    ...{ plan: carefulPlan, members, together: null, replay: null },
  };
}
