import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemTime, type TimeSource } from '../../src/base/time-source.ts';
import { progressBar, renderProgress, workBar } from '../../src/cli/progress-bar.ts';

const MiB = 1024 ** 2;
const half = { bytes: 1_065 * MiB, totalBytes: 2_048 * MiB, rate: 110 * MiB };
const label = 'pulling rootimg.sfs';

test.each([
  [200, 'pulling rootimg.sfs  [####################····················]  52 %  1.0 of 2.0 GiB  110 MiB/s  9 s left'],
  [87, 'pulling rootimg.sfs  [##########··········]  52 %  1.0 of 2.0 GiB  110 MiB/s  9 s left'],
  [77, 'pulling rootimg.sfs  [#####·····]  52 %  1.0 of 2.0 GiB  110 MiB/s  9 s left'],
  [76, 'pulling rootimg.sfs  [#############············]  52 %  110 MiB/s  9 s left'],
  [54, 'pulling rootimg.sfs  [#######·······]  52 %  9 s left'],
  [44, 'pulling rootimg.sfs  [#######·······]  52 %'],
  [30, 'pulling rootimg.sfs  52 %'],
  [10, 'pulling r'],
  [0, ''],
])('on %i columns', (columns, line) => {
  expect(renderProgress(label, half, columns)).toBe(line);
});

test.each([
  [{ bytes: 0, totalBytes: 2_048 * MiB, rate: 0 }, '0 %  0.0 of 2.0 GiB'],
  [{ bytes: 2_048 * MiB - 1, totalBytes: 2_048 * MiB, rate: MiB }, '99 %  2.0 of 2.0 GiB  1.0 MiB/s  1 s left'],
  [{ bytes: 2_048 * MiB, totalBytes: 2_048 * MiB, rate: 5 }, '100 %  2.0 of 2.0 GiB  5 B/s  0 s left'],
  [{ bytes: 100 * MiB, totalBytes: 700 * MiB, rate: MiB }, '14 %  100 of 700 MiB  1.0 MiB/s  10 min 0 s left'],
  [{ bytes: 0, totalBytes: 8 * 1_024 * MiB, rate: MiB }, '0 %  0.0 of 8.0 GiB  1.0 MiB/s  2 h 16 min left'],
  [{ bytes: 0, totalBytes: 0, rate: 0 }, '100 %  0 of 0 B'],
])('%j', (progress, facts) => {
  expect(renderProgress(label, progress, 200).replace(/^.*\] {2}/, '')).toBe(facts);
});

test('always leaves the last column free, on one line', () => {
  const amount = fc.integer({ min: 0, max: 2 ** 45 });
  fc.assert(
    fc.property(fc.nat(300), amount, amount, amount, (columns, bytes, totalBytes, rate) => {
      const line = renderProgress(label, { bytes: Math.min(bytes, totalBytes), totalBytes, rate }, columns);
      return line.length <= Math.max(0, columns - 1) && /^[^\n\r]*$/.test(line);
    }),
  );
});

describe('on a stream', () => {
  function terminal(isTTY: boolean) {
    const written: string[] = [];
    let now = 0;
    const time: TimeSource = { now: () => now, after: () => () => {}, random: () => 0 };
    const stream = { isTTY, columns: 100, write: (text: string) => written.push(text) > 0 };
    const bar = progressBar('pulling \x1b[2Jimage', stream as unknown as NodeJS.WriteStream, time);
    const update = (bytes: number, afterMs: number) => {
      now += afterMs;
      bar.update({ bytes: bytes * MiB, totalBytes: 100 * MiB });
    };
    return { written, bar, update };
  }

  test('that is no terminal nothing is written', () => {
    const { written, bar, update } = terminal(false);
    update(10, 1_000);
    bar.clear();
    expect(written).toEqual([]);
  });

  test('it is redrawn in place, ten times a second at most, with the rate of the last seconds', () => {
    const { written, update } = terminal(true);
    update(0, 0);
    update(5, 50);
    update(10, 450);
    update(20, 500);
    expect(written).toHaveLength(3);
    expect(written.at(-1)).toMatch(/^\rpulling \?\[2Jimage {2}\[#/);
    expect(written.at(-1)?.endsWith('20 %  20 of 100 MiB  20.0 MiB/s  4 s left\x1b[K')).toBe(true);
    update(20, 20_000);
    expect(written.at(-1)?.endsWith('20 of 100 MiB\x1b[K')).toBe(true);
  });

  test('the end is drawn however soon it comes, and the line is taken away', () => {
    const { written, bar, update } = terminal(true);
    update(99, 0);
    update(100, 1);
    bar.clear();
    bar.clear();
    expect(written).toHaveLength(3);
    expect(written.slice(1)).toEqual([expect.stringContaining('100 %'), '\r\x1b[K']);
  });
});

describe('a bar of work that is not bytes', () => {
  function drawn(columns: number, steps: readonly [ms: number, share: number, what: string][]): string[] {
    const written: string[] = [];
    const stream = { isTTY: true, columns, write: (text: string) => written.push(text) > 0 };
    let now = 0;
    const bar = workBar('measuring', stream, { ...systemTime, now: () => now });
    for (const [ms, share, what] of steps) {
      now = ms;
      bar.update(share, what);
    }
    bar.clear();
    return written;
  }

  test('says what is done, and promises as much time as the share took', () => {
    expect(
      drawn(80, [
        [0, 0, 'connections'],
        [30_000, 0.25, '4 KiB x 1'],
      ]),
    ).toEqual([
      `\rmeasuring  [${'·'.repeat(40)}]  0 %  connections\x1b[K`,
      `\rmeasuring  [${'#'.repeat(8)}${'·'.repeat(24)}]  25 %  1 min 30 s left  4 KiB x 1\x1b[K`,
      '\r\x1b[K',
    ]);
  });

  test('on a narrow terminal says less', () => {
    expect(drawn(42, [[10_000, 0.5, 'x'.repeat(60)]])[0]).toBe('\rmeasuring  [#####······]  50 %  10 s left\x1b[K');
  });

  test('is nothing where the stream is no terminal', () => {
    const written: string[] = [];
    const stream = { isTTY: false, columns: 80, write: (text: string) => written.push(text) > 0 };
    const bar = workBar('measuring', stream);
    bar.update(0.5, 'x');
    bar.clear();
    expect(written).toEqual([]);
  });
});
